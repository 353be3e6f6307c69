//! Route: which arm answers a call, and whether it is mirrored. Reads headers, decides, and takes
//! out what callers may not say; it sends nothing.

use std::time::SystemTime;

use cutover_compare::{Descriptors, SideEffects};
use cutover_manifest::{
    Arm, Key, MirrorSideEffects, OVERRIDE_HEADER, OverrideHeader, RouteTable, Weight,
};
use http::{HeaderMap, HeaderValue};
use rand::RngCore;

const TRACEPARENT: &str = "traceparent";
const BAGGAGE: &str = "baggage";
/// The baggage member that marks copies of calls, so that a service can refuse writes.
const ROLE_MEMBER: &str = "cutover.role";

/// What was decided for one call.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub(crate) arm: Arm,
    pub(crate) weight: Weight,
    pub(crate) mirror: MirrorChoice,
    pub(crate) trace: TraceContext,
}

/// Whether a call is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MirrorChoice {
    No,
    /// A rule asks for a copy, but no descriptor says what the method is.
    Unknown,
    Copy(Copying),
}

/// How a call is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copying {
    /// Whether the primary's own arm is asked a second time.
    pub(crate) noise: bool,
    /// Whether the request is a stream. Its copy is sent at once, however slowly the client sent
    /// it, so the copy's times say nothing about the arm.
    pub(crate) streams: bool,
}

/// Where a call stands in its trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceContext {
    pub(crate) trace_id: [u8; 16],
    /// The caller's span.
    pub(crate) parent: Option<[u8; 8]>,
    pub(crate) sampled: bool,
    /// When the call arrived, by the wall clock, for spans only.
    pub(crate) at: SystemTime,
}

/// Decides, and strips the headers that are the proxy's own.
pub(crate) fn route(
    table: &RouteTable,
    descriptors: Option<&Descriptors>,
    path: &str,
    headers: &mut HeaderMap,
) -> Decision {
    let route = table.route(path);
    let trace = trace_context(headers);
    strip_role(headers);
    let chosen = headers
        .remove(OVERRIDE_HEADER)
        .filter(|_| table.override_header() == OverrideHeader::Honour);
    let chosen = chosen.and_then(|value| Arm::parse(value.to_str().ok()?));
    let arm = chosen.unwrap_or_else(|| {
        let sticky = table.manifest.sticky_key.as_ref();
        match sticky.and_then(|key| headers.get(key.metadata.as_str())) {
            Some(value) => table.arm(route, Key::Sticky(value.as_bytes())),
            None if trace.parent.is_some() => table.arm(route, Key::Trace(&trace.trace_id)),
            None => table.arm(route, Key::Random(rand::rng().next_u64())),
        }
    });
    let mirror = mirror_choice(route.mirror, descriptors, path);
    Decision {
        arm,
        weight: route.weight,
        mirror,
        trace,
    }
}

/// Only methods that are known and have no side effects (or are named by a manifest that accepts
/// them doubled) are mirrored.
fn mirror_choice(
    mirror: cutover_manifest::Mirror,
    descriptors: Option<&Descriptors>,
    path: &str,
) -> MirrorChoice {
    if mirror.percent == Weight::ZERO {
        return MirrorChoice::No;
    }
    let Some(method) = descriptors.and_then(|descriptors| descriptors.method(path)) else {
        return MirrorChoice::Unknown;
    };
    let safe = method.side_effects == SideEffects::None
        || mirror.side_effects == MirrorSideEffects::Accept;
    if !safe || !falls_under(mirror.percent) {
        return MirrorChoice::No;
    }
    MirrorChoice::Copy(Copying {
        noise: falls_under(mirror.noise),
        streams: method.client_streaming,
    })
}

fn falls_under(share: Weight) -> bool {
    share == Weight::FULL
        || (share != Weight::ZERO && rand::rng().next_u64() % 10_000 < u64::from(share.bp()))
}

/// The caller's W3C trace context, or a new one. An invalid one counts as none.
fn trace_context(headers: &HeaderMap) -> TraceContext {
    let at = SystemTime::now();
    if let Some((trace_id, parent, sampled)) = headers.get(TRACEPARENT).and_then(parse_traceparent)
    {
        return TraceContext {
            trace_id,
            parent: Some(parent),
            sampled,
            at,
        };
    }
    let mut trace_id = [0; 16];
    rand::rng().fill_bytes(&mut trace_id);
    TraceContext {
        trace_id,
        parent: None,
        sampled: false,
        at,
    }
}

fn parse_traceparent(value: &HeaderValue) -> Option<([u8; 16], [u8; 8], bool)> {
    let bytes = value.as_bytes();
    let well_formed = bytes.len() >= 55
        && bytes[2] == b'-'
        && bytes[35] == b'-'
        && bytes[52] == b'-'
        && &bytes[..2] != b"ff"
        && (bytes.len() == 55 || (&bytes[..2] != b"00" && bytes[55] == b'-'));
    if !well_formed {
        return None;
    }
    let mut trace_id = [0; 16];
    let mut span_id = [0; 8];
    let mut flags = [0; 1];
    hex(&bytes[..2], &mut flags)?;
    hex(&bytes[3..35], &mut trace_id)?;
    hex(&bytes[36..52], &mut span_id)?;
    hex(&bytes[53..55], &mut flags)?;
    (trace_id != [0; 16] && span_id != [0; 8]).then_some((trace_id, span_id, flags[0] & 1 == 1))
}

/// Lower-case hexadecimal digits only, as the W3C format has it.
fn hex(digits: &[u8], out: &mut [u8]) -> Option<()> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    for (pair, byte) in digits.chunks_exact(2).zip(out) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

impl TraceContext {
    /// Puts the proxy's own context into a copy of the call.
    pub(crate) fn inject(&self, headers: &mut HeaderMap, span_id: [u8; 8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let mut write = |at: usize, bytes: &[u8]| {
            for (i, byte) in bytes.iter().enumerate() {
                text[at + 2 * i] = DIGITS[usize::from(byte >> 4)];
                text[at + 2 * i + 1] = DIGITS[usize::from(byte & 15)];
            }
        };
        write(3, &self.trace_id);
        write(36, &span_id);
        write(53, &[u8::from(self.sampled)]);
        let value = HeaderValue::from_bytes(&text).expect("hexadecimal digits and dashes");
        headers.insert(TRACEPARENT, value);
    }
}

/// A new span id.
pub(crate) fn span_id() -> [u8; 8] {
    rand::rng().next_u64().max(1).to_be_bytes()
}

/// Marks a copy as what it is, in baggage.
pub(crate) fn mark_role(headers: &mut HeaderMap, role: cutover_manifest::Role) {
    let member = format!("{ROLE_MEMBER}={}", role.as_str());
    let value = HeaderValue::from_str(&member).expect("a role is plain text");
    headers.append(BAGGAGE, value);
}

/// Takes out baggage by which a caller poses as a copy.
fn strip_role(headers: &mut HeaderMap) {
    if !headers.contains_key(BAGGAGE) {
        return;
    }
    let spoofed = |value: &HeaderValue| {
        value
            .as_bytes()
            .windows(ROLE_MEMBER.len())
            .any(|w| w == ROLE_MEMBER.as_bytes())
    };
    if !headers.get_all(BAGGAGE).iter().any(spoofed) {
        return;
    }
    let kept: Vec<HeaderValue> = headers
        .get_all(BAGGAGE)
        .iter()
        .filter_map(|value| {
            let members = value.to_str().ok()?.split(',');
            let mine = members.filter(|member| !member.trim_start().starts_with(ROLE_MEMBER));
            HeaderValue::from_str(&mine.collect::<Vec<_>>().join(",")).ok()
        })
        .filter(|value| !value.is_empty())
        .collect();
    headers.remove(BAGGAGE);
    for value in kept {
        headers.append(BAGGAGE, value);
    }
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

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| {
                (
                    http::HeaderName::from_static(k),
                    HeaderValue::from_str(v).unwrap(),
                )
            })
            .collect()
    }

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn an_override_is_stripped_unless_the_manifest_allows_it() {
        for (extra, arm) in [
            ("", Arm::Legacy),
            ("  overrideHeader: { allow: true }", Arm::Candidate),
        ] {
            let mut headers = headers(&[(OVERRIDE_HEADER, "candidate")]);
            assert_eq!(route(&table(extra), None, "/a.B/C", &mut headers).arm, arm);
            assert!(headers.is_empty());
        }
    }

    #[test]
    fn an_odd_override_is_ignored() {
        let table = table("  overrideHeader: { allow: true }");
        let mut headers = headers(&[(OVERRIDE_HEADER, "http://evil")]);
        assert_eq!(route(&table, None, "/a.B/C", &mut headers).arm, Arm::Legacy);
    }

    #[test]
    fn the_callers_trace_goes_on_under_the_proxys_span() {
        let mut headers = headers(&[(TRACEPARENT, PARENT)]);
        let decision = route(&table(""), None, "/a.B/C", &mut headers);
        assert!(decision.trace.sampled && decision.trace.parent.is_some());
        decision.trace.inject(&mut headers, [1; 8]);
        let expected = "00-0af7651916cd43dd8448eb211c80319c-0101010101010101-01";
        assert_eq!(headers[TRACEPARENT], expected);
    }

    #[test]
    fn an_invalid_traceparent_starts_a_new_trace() {
        for bad in [
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "zz",
            "",
        ] {
            let mut headers = headers(&[(TRACEPARENT, bad)]);
            assert!(
                route(&table(""), None, "/a.B/C", &mut headers)
                    .trace
                    .parent
                    .is_none(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_caller_cannot_pose_as_a_shadow() {
        let mut headers = headers(&[("baggage", "a=1, cutover.role=shadow,b=2")]);
        route(&table(""), None, "/a.B/C", &mut headers);
        assert_eq!(headers["baggage"], "a=1,b=2");
    }

    #[test]
    fn does_not_mirror_what_no_descriptor_calls_safe() {
        let table = table("  rules: [{ mirror: { percent: 100 } }]");
        let decision = route(&table, None, "/a.B/C", &mut HeaderMap::new());
        assert_eq!(decision.mirror, MirrorChoice::Unknown);
    }

    #[test]
    fn mirrors_a_stream_only_where_it_is_safe() {
        // The one method of this service streams both ways, and says nothing of side effects.
        let reflection = tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET;
        let reflection = Descriptors::decode(reflection).unwrap();
        let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        let copied = MirrorChoice::Copy(Copying {
            noise: false,
            streams: true,
        });
        for (accepted, expected) in [(false, MirrorChoice::No), (true, copied)] {
            let rule = format!("mirror: {{ percent: 100, acceptSideEffects: {accepted} }}");
            let matches = "matches: [{ method: { service: grpc.reflection.v1.ServerReflection, \
                           method: ServerReflectionInfo } }]";
            let table = table(&format!("  rules: [{{ {matches}, {rule} }}]"));
            let decision = route(&table, Some(&reflection), path, &mut HeaderMap::new());
            assert_eq!(decision.mirror, expected);
        }
    }
}
