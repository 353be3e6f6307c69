//! Flow control windows (RFC 9113 section 5.2 and 6.9): what we may send, what the peer may send.
//! The same two types serve a stream and the connection.

use crate::error::Rule;

/// The largest window (RFC 9113 section 6.9.1).
pub(crate) const MAX_WINDOW: u32 = 0x7fff_ffff;
/// Every window before any SETTINGS or WINDOW_UPDATE (RFC 9113 section 6.9.2).
pub(crate) const DEFAULT_WINDOW: u32 = 65_535;

/// What we may still send. A smaller SETTINGS_INITIAL_WINDOW_SIZE can bring it below zero.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SendWindow(i64);

impl SendWindow {
    pub(crate) fn new(bytes: u32) -> Self {
        Self(i64::from(bytes))
    }

    pub(crate) fn available(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    pub(crate) fn take(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub_unsigned(bytes as u64);
    }

    /// A WINDOW_UPDATE, or the difference between two initial sizes.
    pub(crate) fn grow(&mut self, by: i64) -> Result<(), Rule> {
        let grown = self.0.saturating_add(by);
        if grown > i64::from(MAX_WINDOW) {
            return Err(Rule::WindowOverflow);
        }
        self.0 = grown;
        Ok(())
    }
}

/// What the peer may still send, and what was read since we last told it so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReceiveWindow {
    left: u32,
    owed: u32,
}

impl ReceiveWindow {
    pub(crate) fn new(bytes: u32) -> Self {
        Self {
            left: bytes,
            owed: 0,
        }
    }

    pub(crate) fn take(&mut self, bytes: u32) -> Result<(), Rule> {
        self.left = self.left.checked_sub(bytes).ok_or(Rule::WindowExceeded)?;
        Ok(())
    }

    /// Whether the peer may send so many.
    pub(crate) fn allows(self, bytes: u32) -> bool {
        bytes <= self.left
    }

    /// Whether an increment would be sent if so many were given back.
    pub(crate) fn is_due(self, bytes: u32, size: u32) -> bool {
        self.owed.saturating_add(bytes) >= size / 2
    }

    /// Gives bytes back; returns the increment to send once it is half of `size`, so that
    /// WINDOW_UPDATE frames stay few and the peer seldom waits.
    pub(crate) fn release(&mut self, bytes: u32, size: u32) -> Option<u32> {
        self.owed = self.owed.saturating_add(bytes);
        if self.owed == 0 || self.owed < size / 2 {
            return None;
        }
        let room = MAX_WINDOW.saturating_sub(self.left);
        let increment = std::mem::take(&mut self.owed).min(room);
        self.left = self.left.saturating_add(increment);
        (increment > 0).then_some(increment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_grows_to_the_limit_and_not_above() {
        let mut window = SendWindow::new(1);
        assert_eq!(window.grow(i64::from(MAX_WINDOW) - 1), Ok(()));
        assert_eq!(window.grow(1), Err(Rule::WindowOverflow));
        assert_eq!(window.available(), MAX_WINDOW as usize);
    }

    #[test]
    fn a_window_below_zero_lets_nothing_through() {
        let mut window = SendWindow::new(10);
        window.take(8);
        window.grow(-10).unwrap();
        assert_eq!(window.available(), 0);
        window.grow(9).unwrap();
        assert_eq!(window.available(), 1);
    }

    #[test]
    fn the_largest_window_is_given_back_whole() {
        let mut window = ReceiveWindow::new(MAX_WINDOW);
        assert_eq!(window.take(MAX_WINDOW), Ok(()));
        assert_eq!(window.take(1), Err(Rule::WindowExceeded));
        assert_eq!(window.release(MAX_WINDOW, MAX_WINDOW), Some(MAX_WINDOW));
        // More than was taken never makes a window that the peer could not bear.
        assert_eq!(window.release(MAX_WINDOW, MAX_WINDOW), None);
        assert_eq!(window.take(MAX_WINDOW), Ok(()));
    }

    #[test]
    fn credit_is_announced_by_halves() {
        let mut window = ReceiveWindow::new(100);
        assert_eq!(window.take(100), Ok(()));
        assert_eq!(window.take(1), Err(Rule::WindowExceeded));
        assert_eq!(window.release(49, 100), None);
        assert_eq!(window.release(1, 100), Some(50));
        assert_eq!(window.take(50), Ok(()));
        assert_eq!(window.take(1), Err(Rule::WindowExceeded));
    }
}
