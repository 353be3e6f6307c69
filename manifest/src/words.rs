//! The words: arm, role, weight, percent and method path, each a type that can't hold nonsense.

use std::fmt;
use std::sync::Arc;

use crate::units;

/// One of the two implementations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arm {
    /// The Python side.
    Legacy,
    /// The Rust side.
    Candidate,
}

impl Arm {
    /// Both arms, legacy first.
    pub const BOTH: [Arm; 2] = [Arm::Legacy, Arm::Candidate];

    /// The arm that this one isn't.
    #[must_use]
    pub fn other(self) -> Arm {
        match self {
            Arm::Legacy => Arm::Candidate,
            Arm::Candidate => Arm::Legacy,
        }
    }

    /// `legacy` or `candidate`, as in metrics, spans and YAML.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Arm::Legacy => "legacy",
            Arm::Candidate => "candidate",
        }
    }

    /// 0 for legacy, 1 for candidate: an index into pairs of things.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The arm that [`Arm::as_str`] names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Arm> {
        Arm::BOTH.into_iter().find(|arm| arm.as_str() == text)
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a copy of a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The client gets its answer.
    Primary,
    /// The copy sent to the other arm.
    Shadow,
    /// The second copy sent to the primary's own arm.
    Noise,
}

impl Role {
    /// `primary`, `shadow` or `noise`, as in metrics and spans.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Shadow => "shadow",
            Role::Noise => "noise",
        }
    }

    /// 0, 1 or 2: an index.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The role that [`Role::as_str`] names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Role> {
        [Role::Primary, Role::Shadow, Role::Noise]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

/// Percent of calls that the candidate answers: 0 to 100 in steps of 0.01, kept in basis points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Weight(u16);

impl Weight {
    /// Legacy answers everything.
    pub const ZERO: Weight = Weight(0);
    /// The candidate answers everything.
    pub const FULL: Weight = Weight(10_000);

    /// From basis points; `None` above 10,000.
    #[must_use]
    pub fn from_bp(basis_points: u32) -> Option<Weight> {
        u16::try_from(basis_points)
            .ok()
            .filter(|bp| *bp <= Self::FULL.0)
            .map(Weight)
    }

    /// From percent. Errors say what would be right.
    pub fn from_percent(percent: f64) -> Result<Weight, String> {
        let bp = percent * 100.0;
        if !(0.0..=10_000.0).contains(&bp) {
            return Err(format!("weight {percent} is outside 0 to 100"));
        }
        if (bp - bp.round()).abs() > 1e-6 {
            return Err(format!("weight {percent} is finer than the steps of 0.01"));
        }
        Ok(Weight(bp.round() as u16))
    }

    /// Basis points, 0 to 10,000.
    #[must_use]
    pub fn bp(self) -> u16 {
        self.0
    }

    /// Percent, 0.0 to 100.0.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", units::plain(self.percent()))
    }
}

/// A share of calls, 0 to 100 percent, kept in basis points: mirror, noise.
pub type Percent = Weight;

/// A method's path, `/package.Service/Method`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MethodPath {
    text: Arc<str>,
    slash: usize,
}

/// Why a text is no [`MethodPath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a method path: it should look like /package.Service/Method")]
pub struct PathError(pub String);

impl MethodPath {
    /// From service (`package.Service`) and method (`Method`).
    pub fn new(service: &str, method: &str) -> Result<MethodPath, PathError> {
        Self::parse(&format!("/{service}/{method}"))
    }

    /// From `/package.Service/Method`; the leading slash may be left out.
    pub fn parse(text: &str) -> Result<MethodPath, PathError> {
        let error = || PathError(text.to_owned());
        let inner = text.strip_prefix('/').unwrap_or(text);
        let (service, method) = inner.split_once('/').ok_or_else(error)?;
        let valid = |part: &str, extra: fn(char) -> bool| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_' || extra(c))
        };
        if !valid(service, |c| c == '.') || !valid(method, |_| false) {
            return Err(error());
        }
        Ok(MethodPath {
            text: format!("/{inner}").into(),
            slash: service.len() + 1,
        })
    }

    /// `/package.Service/Method`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `package.Service`.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.text[1..self.slash]
    }

    /// `Method`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.text[self.slash + 1..]
    }
}

impl fmt::Display for MethodPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_takes_hundredths_of_a_percent_and_nothing_finer() {
        assert_eq!(Weight::from_percent(0.01).unwrap().bp(), 1);
        assert_eq!(Weight::from_percent(100.0).unwrap(), Weight::FULL);
        assert!(Weight::from_percent(0.005).is_err());
        for outside in [-0.01, 100.01, f64::NAN, f64::INFINITY] {
            assert!(Weight::from_percent(outside).is_err(), "{outside}");
        }
        assert_eq!(Weight::from_bp(10_001), None);
        assert_eq!(Weight::from_bp(2550).unwrap().to_string(), "25.5 %");
    }

    #[test]
    fn method_path_parses_only_service_and_method() {
        let path = MethodPath::parse("/a.b.C/Do").unwrap();
        assert_eq!(
            (path.service(), path.method(), path.as_str()),
            ("a.b.C", "Do", "/a.b.C/Do")
        );
        assert_eq!(MethodPath::parse("a.b.C/Do").unwrap(), path);
        for bad in ["", "/", "/a", "//b", "/a/", "/a/b/c", "/a b/c", "a.b.C.Do"] {
            assert!(MethodPath::parse(bad).is_err(), "{bad}");
        }
    }
}
