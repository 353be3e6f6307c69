//! Route: which arm answers a call, and whether it is mirrored. Reads headers, decides, and takes
//! out what callers may not say; it sends nothing.

mod methods;
mod trace;

use std::time::Duration;

use cutover_compare::{Descriptors, SideEffects};
use cutover_manifest::{
    Arm, Key, Mirror, MirrorSideEffects, OVERRIDE_HEADER, OverrideHeader, Role, RouteTable, Weight,
};
use cutover_wire::{FieldRef, HeaderList};
use rand::RngCore;

use crate::grpc;

pub(crate) use methods::{Method, Methods};
pub(crate) use trace::TraceContext;

/// The baggage member that marks copies of calls, so that a service can refuse writes.
const ROLE_MEMBER: &str = "cutover.role";

/// What a request's headers say to the proxy.
#[derive(Default)]
pub(crate) struct Asked<'a> {
    pub(crate) path: Option<FieldRef<'a>>,
    /// Whether it is a POST of gRPC's content type.
    pub(crate) is_grpc: bool,
    pub(crate) has_authority: bool,
    pub(crate) timeout: Option<Duration>,
    /// The caller's trace, if it is a valid one.
    pub(crate) trace: Option<TraceContext>,
    sticky: Option<&'a [u8]>,
    chosen: Option<&'a [u8]>,
}

impl<'a> Asked<'a> {
    /// Reads the headers, and puts those that go on to an arm into `onwards`.
    pub(crate) fn read(
        headers: &'a HeaderList,
        table: &RouteTable,
        onwards: &mut HeaderList,
    ) -> Asked<'a> {
        let sticky = table.manifest.sticky_key.as_ref();
        let sticky = sticky.map_or(&b""[..], |key| key.metadata.as_bytes());
        let mut asked = Asked::default();
        let (mut post, mut grpc) = (false, false);
        for field in headers.iter() {
            if field.name == sticky && asked.sticky.is_none() {
                asked.sticky = Some(field.value);
            }
            match field.name {
                b":path" => asked.path = Some(field),
                b":method" => post = field.value == b"POST",
                b":authority" => asked.has_authority = true,
                b"content-type" => grpc = grpc::is_grpc(field.value),
                b"grpc-timeout" if asked.timeout.is_none() => {
                    asked.timeout = grpc::timeout(field.value);
                }
                b"traceparent" => {
                    asked.trace = asked.trace.or_else(|| trace::parse(field.value));
                    continue;
                }
                b"baggage" => {
                    if let Some(kept) = without_role(field.value) {
                        if !kept.is_empty() {
                            onwards.push(field.name, &kept);
                        }
                        continue;
                    }
                }
                name if name == OVERRIDE_HEADER.as_bytes() => {
                    asked.chosen = asked.chosen.or(Some(field.value));
                    continue;
                }
                _ => {}
            }
            onwards.push_ref(field);
        }
        asked.is_grpc = post && grpc;
        asked
    }

    /// Which arm answers.
    pub(crate) fn arm(&self, method: &Method, trace: &TraceContext, chance: u64) -> Arm {
        let table = &method.table;
        let chosen = self
            .chosen
            .filter(|_| table.override_header() == OverrideHeader::Honour)
            .and_then(|value| Arm::parse(std::str::from_utf8(value).ok()?));
        if let Some(arm) = chosen {
            return arm;
        }
        let key = match self.sticky {
            Some(value) => Key::Sticky(value),
            None if trace.parent.is_some() => Key::Trace(&trace.trace_id),
            None => Key::Random(chance),
        };
        table.arm(&method.route, key)
    }
}

/// Whether and how often a method's calls are mirrored: only methods that are known and have no side
/// effects (or are named by a manifest that accepts them doubled).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MirrorRule {
    Never,
    /// A rule asks for copies, but no descriptor says what the method is.
    Unknown,
    Share {
        percent: Weight,
        noise: Weight,
        /// Whether requests are streams.
        streams: bool,
    },
}

/// How one call is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copying {
    /// Whether the primary's own arm is asked a second time.
    pub(crate) noise: bool,
    /// Whether the request is a stream. Its copy is sent at once, however slowly the client sent
    /// it, so the copy's times say nothing about the arm.
    pub(crate) streams: bool,
}

impl MirrorRule {
    fn new(mirror: Mirror, descriptors: Option<&Descriptors>, path: &str) -> MirrorRule {
        if mirror.percent == Weight::ZERO {
            return MirrorRule::Never;
        }
        let Some(method) = descriptors.and_then(|descriptors| descriptors.method(path)) else {
            return MirrorRule::Unknown;
        };
        let safe = method.side_effects == SideEffects::None
            || mirror.side_effects == MirrorSideEffects::Accept;
        if !safe {
            return MirrorRule::Never;
        }
        MirrorRule::Share {
            percent: mirror.percent,
            noise: mirror.noise,
            streams: method.client_streaming,
        }
    }

    /// Decides for one call.
    pub(crate) fn choose(self, chance: &mut impl RngCore) -> Option<Copying> {
        let MirrorRule::Share {
            percent,
            noise,
            streams,
        } = self
        else {
            return None;
        };
        let mut falls_under = |share: Weight| {
            share == Weight::FULL
                || (share != Weight::ZERO && chance.next_u64() % 10_000 < u64::from(share.bp()))
        };
        falls_under(percent).then(|| Copying {
            noise: falls_under(noise),
            streams,
        })
    }
}

/// Marks a copy as what it is, in baggage.
pub(crate) fn mark_role(headers: &mut HeaderList, role: Role) {
    let member = format!("{ROLE_MEMBER}={}", role.as_str());
    headers.push(b"baggage", member.as_bytes());
}

/// Baggage without the members by which a caller poses as a copy; `None` where there are none.
fn without_role(value: &[u8]) -> Option<Vec<u8>> {
    let role = ROLE_MEMBER.as_bytes();
    if !value.windows(role.len()).any(|window| window == role) {
        return None;
    }
    let members = value.split(|byte| *byte == b',');
    let mine = members.filter(|member| !member.trim_ascii_start().starts_with(role));
    Some(mine.collect::<Vec<_>>().join(&b','))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cutover_manifest::{Manifest, Weights};

    use super::*;

    fn table(extra: &str) -> RouteTable {
        let text = format!(
            "apiVersion: cutover.dev/v1alpha1\nkind: Cutover\nmetadata: {{ name: t }}\nspec:\n  \
             legacy: {{ url: \"http://a:1\" }}\n  candidate: {{ url: \"http://b:1\" }}\n{extra}"
        );
        let manifest = Manifest::parse("t.yaml", &text).unwrap();
        RouteTable::build(Arc::new(manifest), &Weights::default(), 1, 1)
    }

    /// The arm that answers a request with these headers, and what goes on of them.
    fn ask(table: RouteTable, pairs: &[(&str, &str)]) -> (Arm, Vec<(String, String)>) {
        let headers: HeaderList = pairs
            .iter()
            .map(|(name, value)| FieldRef::new(name.as_bytes(), value.as_bytes()))
            .collect();
        let mut onwards = HeaderList::new();
        let table = Arc::new(table);
        let asked = Asked::read(&headers, &table, &mut onwards);
        let method = Method::of(&table, "/a.B/C");
        let trace = TraceContext::new([1; 16]);
        let arm = asked.arm(&method, &trace, 0);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let onwards = onwards.iter().map(|f| (text(f.name), text(f.value)));
        (arm, onwards.collect())
    }

    #[test]
    fn an_override_is_stripped_unless_the_manifest_allows_it() {
        for (extra, arm) in [
            ("", Arm::Legacy),
            ("  overrideHeader: { allow: true }", Arm::Candidate),
        ] {
            let asked = ask(table(extra), &[(OVERRIDE_HEADER, "candidate")]);
            assert_eq!(asked, (arm, vec![]));
        }
    }

    #[test]
    fn an_odd_override_is_ignored() {
        let table = table("  overrideHeader: { allow: true }");
        let asked = ask(table, &[(OVERRIDE_HEADER, "http://evil")]);
        assert_eq!(asked, (Arm::Legacy, vec![]));
    }

    #[test]
    fn a_caller_cannot_pose_as_a_shadow() {
        for (sent, kept) in [
            ("a=1, cutover.role=shadow,b=2", Some("a=1,b=2")),
            ("cutover.role=shadow", None),
            ("a=1,  b=2", Some("a=1,  b=2")),
        ] {
            let (_, onwards) = ask(table(""), &[("baggage", sent)]);
            let kept: Vec<_> = kept
                .map(|kept| ("baggage".into(), kept.into()))
                .into_iter()
                .collect();
            assert_eq!(onwards, kept);
        }
    }

    #[test]
    fn the_sticky_key_decides_before_chance_does() {
        let sticky = "  stickyKey: { metadata: x-user-id }\n  rules: [{ weight: 50 }]";
        let arm = |user: &str| ask(table(sticky), &[("x-user-id", user)]).0;
        // Chance is always the same here, so only the key can make a difference.
        let arms: Vec<Arm> = (0..40).map(|n| arm(&n.to_string())).collect();
        assert!(arms.contains(&Arm::Legacy) && arms.contains(&Arm::Candidate));
        assert_eq!(ask(table(sticky), &[]).0, Arm::Candidate);
    }

    #[test]
    fn what_no_descriptor_calls_safe_is_not_mirrored() {
        let table = Arc::new(table("  rules: [{ mirror: { percent: 100 } }]"));
        let method = Method::of(&table, "/a.B/C");
        assert_eq!(method.mirror, MirrorRule::Unknown);
        assert_eq!(method.mirror.choose(&mut rand::rng()), None);
    }
}
