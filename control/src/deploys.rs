//! Which versions of the arms are running, as `service.version` of their OTLP resources says: a
//! version that was not running before is a deploy. Another instance of the same version is none,
//! and neither is an old instance that goes on while a rollout replaces it. Arms that send no
//! version are never thought to be deployed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cutover_manifest::Arm;

/// Most services that are followed, both arms together.
const MAX_SERVICES: usize = 64;
/// Most versions of a service that run at a time; the one silent for longest goes first.
const MAX_VERSIONS: usize = 16;
/// How long a version may be silent, while another one of its service speaks, until it counts as
/// gone. Exporters speak at least every minute by default.
const GONE_AFTER: Duration = Duration::from_secs(180);

/// A service of an arm, and a version of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Running {
    pub(crate) arm: Arm,
    pub(crate) service: String,
    pub(crate) version: String,
}

/// A version that took the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deploy {
    pub(crate) running: Running,
    /// The version heard last before it.
    pub(crate) before: String,
}

/// The versions that run.
#[derive(Debug, Default)]
pub(crate) struct Versions(BTreeMap<(Arm, String), BTreeMap<String, Duration>>);

impl Versions {
    /// Takes in what an export said about its sender; says what was not running before. The first
    /// version of a service is no news: nothing is known about the one before it.
    pub(crate) fn hear(&mut self, heard: BTreeSet<Running>, now: Duration) -> Vec<Deploy> {
        let mut news = Vec::new();
        for running in heard {
            let key = (running.arm, running.service.clone());
            if !self.0.contains_key(&key) && self.0.len() >= MAX_SERVICES {
                continue;
            }
            let versions = self.0.entry(key).or_default();
            let newest = versions.iter().max_by_key(|(_, at)| **at);
            let before = newest.map(|(version, _)| version.clone());
            let known = versions.insert(running.version.clone(), now).is_some();
            versions.retain(|_, at| now.saturating_sub(*at) < GONE_AFTER);
            if versions.len() > MAX_VERSIONS {
                let oldest = versions.iter().min_by_key(|(_, at)| **at);
                let oldest = oldest.map(|(version, _)| version.clone());
                oldest.and_then(|version| versions.remove(&version));
            }
            if let (false, Some(before)) = (known, before) {
                news.push(Deploy { running, before });
            }
        }
        news
    }

    /// As it is stored.
    pub(crate) fn to_text(&self) -> String {
        let entries: Vec<(&str, &str, Vec<&str>)> = self
            .0
            .iter()
            .map(|((arm, service), versions)| {
                let versions = versions.keys().map(String::as_str).collect();
                (arm.as_str(), service.as_str(), versions)
            })
            .collect();
        // Text in lists can always be written.
        serde_json::to_string(&entries).unwrap_or_default()
    }

    /// From what is stored; a text that can't be read holds nothing.
    pub(crate) fn from_text(text: &str, now: Duration) -> Versions {
        let entries: Vec<(String, String, Vec<String>)> =
            serde_json::from_str(text).unwrap_or_default();
        let entry = |(arm, service, versions): (String, String, Vec<String>)| {
            let versions = versions.into_iter().map(|version| (version, now));
            Some(((Arm::parse(&arm)?, service), versions.collect()))
        };
        Versions(entries.into_iter().filter_map(entry).collect())
    }
}

impl Deploy {
    /// One sentence for the decision log.
    pub(crate) fn sentence(&self) -> String {
        let Running {
            arm,
            service,
            version,
        } = &self.running;
        let (arm, before) = (arm.as_str(), &self.before);
        format!("the {arm} ({service}) was deployed, version {before} → {version}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(versions: &mut Versions, version: &str, at_s: u64) -> Vec<String> {
        let running = Running {
            arm: Arm::Candidate,
            service: "gazetteer".into(),
            version: version.into(),
        };
        let news = versions.hear([running].into(), Duration::from_secs(at_s));
        news.iter().map(Deploy::sentence).collect()
    }

    #[test]
    fn a_new_version_is_a_deploy_and_what_goes_on_running_is_none() {
        let mut versions = Versions::default();
        assert!(hear(&mut versions, "1", 0).is_empty(), "the first one");
        assert!(hear(&mut versions, "1", 1_000).is_empty(), "after silence");
        assert_eq!(
            hear(&mut versions, "2", 1_001),
            ["the candidate (gazetteer) was deployed, version 1 → 2"]
        );
        assert!(hear(&mut versions, "1", 1_002).is_empty(), "a rollout");
        assert!(hear(&mut versions, "2", 1_003).is_empty());
        assert!(hear(&mut versions, "2", 1_200).is_empty());
        assert_eq!(hear(&mut versions, "1", 1_201).len(), 1, "back to it");
    }

    #[test]
    fn another_service_of_the_arm_is_no_deploy() {
        let mut versions = Versions::default();
        hear(&mut versions, "1", 0);
        let other = Running {
            arm: Arm::Candidate,
            service: "sidecar".into(),
            version: "9".into(),
        };
        assert!(versions.hear([other].into(), Duration::ZERO).is_empty());
    }

    #[test]
    fn is_the_same_after_it_was_stored_and_stays_bounded() {
        let mut versions = Versions::default();
        for version in 0..100 {
            hear(&mut versions, &version.to_string(), version);
        }
        let mut again = Versions::from_text(&versions.to_text(), Duration::ZERO);
        let kept = again.0.values().map(BTreeMap::len).sum::<usize>();
        assert_eq!(kept, MAX_VERSIONS);
        assert!(hear(&mut again, "99", 1).is_empty());
        assert_eq!(hear(&mut again, "100", 1).len(), 1);
        assert!(Versions::from_text("not this", Duration::ZERO).0.is_empty());
    }
}
