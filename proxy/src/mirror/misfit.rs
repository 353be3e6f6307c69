//! Descriptors that don't fit what both arms answer: said once for each method, and then they are
//! fetched anew.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover_compare::Misfit;
use tokio::sync::Notify;

/// The least time between two attempts to get descriptors that fit.
const FETCH_PAUSE: Duration = Duration::from_secs(60);

/// What was said and done about descriptors that don't fit.
#[derive(Default)]
pub(crate) struct Misfits {
    /// Methods that it was said of: at most those that the descriptors have.
    said: RefCell<HashSet<Arc<str>>>,
    fetched: Cell<Option<Instant>>,
}

impl Misfits {
    /// Says it the first time for this method, and asks for the descriptors anew.
    pub(crate) fn note(&self, method: &Arc<str>, misfit: Misfit, now: Instant, describe: &Notify) {
        if self.said.borrow_mut().insert(method.clone()) {
            let what = match misfit {
                Misfit::Undecodable => "neither arm's answers can be decoded",
                Misfit::UnknownFields => "both arms' answers have mostly fields that they lack",
            };
            tracing::warn!(
                %method,
                what,
                "the descriptors don't fit the traffic: renew spec.descriptors.file, or let the \
                 arms' reflection tell what they run"
            );
        }
        let due = |last: Instant| now.duration_since(last) >= FETCH_PAUSE;
        if self.fetched.get().is_none_or(due) {
            self.fetched.set(Some(now));
            describe.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn asks_for_descriptors_at_once_and_then_only_now_and_then() {
        let (misfits, describe, method) = (Misfits::default(), Notify::new(), "/a.B/C".into());
        let asked = async || {
            let asked = tokio::time::timeout(Duration::ZERO, describe.notified()).await;
            asked.is_ok()
        };
        let start = Instant::now();
        let note = |after: Duration| {
            misfits.note(&method, Misfit::Undecodable, start + after, &describe);
        };
        note(Duration::ZERO);
        assert!(asked().await);
        note(FETCH_PAUSE / 2);
        assert!(!asked().await);
        note(FETCH_PAUSE);
        assert!(asked().await);
        assert_eq!(misfits.said.borrow().len(), 1);
    }
}
