//! Who is told about decisions, and about which.

use std::collections::BTreeSet;

use serde_saphyr::Spanned;

use super::reader::{Reader, host_port};
use crate::error::ManifestError;
use crate::raw::{RawEvent, RawNotify};

/// Most addresses that are told.
const MAX_NOTIFY: usize = 16;
/// The port of a URL without one.
const HTTP_PORT: u16 = 80;

/// Somebody who is told about decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Where to POST them: `http://HOST[:PORT][/PATH]`.
    pub url: String,
    /// `HOST[:PORT]`.
    pub authority: String,
    /// What to connect to; the port is 80 where none is written.
    pub host: String,
    /// Likewise.
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// Which decisions; default all.
    pub events: BTreeSet<Event>,
}

/// What somebody may be told about: a decision's action, or where it led.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// The evidence took the next step.
    Advance,
    /// The evidence spoke against the candidate.
    Rollback,
    /// It did so at weight 0, where there is nothing to roll back.
    Hold,
    /// An operator stopped a ramp.
    Pause,
    /// An operator let a ramp go on.
    Resume,
    /// An operator took a step.
    Promote,
    /// An operator sent everything back.
    Abort,
    /// An operator overrode a weight.
    Override,
    /// An operator ended an override.
    Reset,
    /// The manifest was changed.
    Manifest,
    /// An arm was deployed.
    Deploy,
    /// A ramp came to its last step, by whatever action.
    Healthy,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 12] = [
        Event::Advance,
        Event::Rollback,
        Event::Hold,
        Event::Pause,
        Event::Resume,
        Event::Promote,
        Event::Abort,
        Event::Override,
        Event::Reset,
        Event::Manifest,
        Event::Deploy,
        Event::Healthy,
    ];

    /// As it is written in a manifest and, but for `healthy`, as an action in the decision log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Event::Advance => "advance",
            Event::Rollback => "rollback",
            Event::Hold => "hold",
            Event::Pause => "pause",
            Event::Resume => "resume",
            Event::Promote => "promote",
            Event::Abort => "abort",
            Event::Override => "override",
            Event::Reset => "reset",
            Event::Manifest => "manifest",
            Event::Deploy => "deploy",
            Event::Healthy => "healthy",
        }
    }
}

impl Reader<'_> {
    pub(super) fn notify(
        &self,
        raw: Vec<Spanned<RawNotify>>,
    ) -> Result<Vec<Notify>, ManifestError> {
        if let Some(extra) = raw.get(MAX_NOTIFY) {
            let message = format!("more than {MAX_NOTIFY} entries in spec.notify");
            return Err(self.error(&extra.referenced, message));
        }
        let mut all: Vec<Notify> = Vec::with_capacity(raw.len());
        for entry in raw {
            let at = entry.referenced;
            let RawNotify { url, events } = entry.value;
            let refuse = |message: String| self.error(&url.referenced, message);
            if url.value.starts_with("https://") {
                return Err(refuse(
                    "spec.notify.url: https is not supported yet: write http://HOST[:PORT]/PATH, \
                     such as that of a proxy beside Cutover that speaks TLS"
                        .to_owned(),
                ));
            }
            let Some((authority, host, port, path)) = split(&url.value) else {
                return Err(refuse(format!(
                    "spec.notify.url is {:?}: write it as http://HOST[:PORT]/PATH",
                    url.value
                )));
            };
            if all.iter().any(|other| other.url == url.value) {
                return Err(refuse(format!(
                    "spec.notify has {:?} already: join their events",
                    url.value
                )));
            }
            let events = match events {
                None => Event::ALL.into(),
                Some(events) if events.is_empty() => {
                    let message = "spec.notify.events is empty: leave it out for all events";
                    return Err(self.error(&at, message));
                }
                Some(events) => events.into_iter().map(Event::from).collect(),
            };
            all.push(Notify {
                authority: authority.to_owned(),
                host: host.to_owned(),
                port,
                path: path.to_owned(),
                url: url.value,
                events,
            });
        }
        Ok(all)
    }
}

impl From<RawEvent> for Event {
    fn from(raw: RawEvent) -> Event {
        match raw {
            RawEvent::Advance => Event::Advance,
            RawEvent::Rollback => Event::Rollback,
            RawEvent::Hold => Event::Hold,
            RawEvent::Pause => Event::Pause,
            RawEvent::Resume => Event::Resume,
            RawEvent::Promote => Event::Promote,
            RawEvent::Abort => Event::Abort,
            RawEvent::Override => Event::Override,
            RawEvent::Reset => Event::Reset,
            RawEvent::Manifest => Event::Manifest,
            RawEvent::Deploy => Event::Deploy,
            RawEvent::Healthy => Event::Healthy,
        }
    }
}

/// Authority, host, port and path of `http://HOST[:PORT][/PATH]`.
fn split(url: &str) -> Option<(&str, &str, u16, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '#' | '<' | '>' | '"' | '\\' | '`');
    if !path.chars().all(plain) {
        return None;
    }
    if let Some((host, port)) = host_port(authority) {
        return Some((authority, host, port, path));
    }
    // Without a port: the same rules as with one.
    let mut with_port = authority.to_owned();
    with_port.push_str(":80");
    host_port(&with_port)?;
    let host = authority.trim_start_matches('[').trim_end_matches(']');
    Some((authority, host, HTTP_PORT, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_what_is_a_url_and_nothing_else() {
        let check = |url: &str, expected: Option<(&str, u16, &str)>| {
            let found = split(url).map(|(_, host, port, path)| (host, port, path));
            assert_eq!(found, expected, "{url}");
        };
        check("http://a.b:8080/x?y=1", Some(("a.b", 8080, "/x?y=1")));
        check("http://a.b", Some(("a.b", 80, "/")));
        check("http://[::1]:9/x", Some(("::1", 9, "/x")));
        check("http://[::1]/x", Some(("::1", 80, "/x")));
        for wrong in [
            "a.b/x",
            "ftp://a.b/x",
            "http://",
            "http:///x",
            "http://a b/x",
            "http://a.b/x y",
            "http://user@a.b/x",
            "http://a.b:port/x",
            "http://a.b/x#y",
        ] {
            check(wrong, None);
        }
    }
}
