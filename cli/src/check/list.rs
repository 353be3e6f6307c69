//! The list of what was looked at and how it turned out.

use serde_json::json;

use crate::failure::Outcome;

/// How one thing turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    /// As it should be.
    Good,
    /// Worth knowing, not wrong.
    Note,
    /// Something outside the manifest is not as it should be.
    Failed,
    /// The manifest says something wrong.
    Mistake,
}

impl Grade {
    /// The sign and the word: never a colour or a sign alone.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Grade::Good => ("✓", "good"),
            Grade::Note => ("·", "note"),
            Grade::Failed => ("✗", "failed"),
            Grade::Mistake => ("✗", "mistake"),
        }
    }
}

/// What was looked at, in order.
#[derive(Debug, Default)]
pub(super) struct List {
    items: Vec<(Grade, &'static str, String)>,
}

impl List {
    /// `what` is as it should be.
    pub(super) fn good(&mut self, what: &'static str, detail: impl Into<String>) {
        self.items.push((Grade::Good, what, detail.into()));
    }

    /// Worth knowing.
    pub(super) fn note(&mut self, what: &'static str, detail: impl Into<String>) {
        self.items.push((Grade::Note, what, detail.into()));
    }

    /// Something outside the manifest is not as it should be.
    pub(super) fn failed(&mut self, what: &'static str, detail: impl Into<String>) {
        self.items.push((Grade::Failed, what, detail.into()));
    }

    /// The manifest says something wrong.
    pub(super) fn mistake(&mut self, what: &'static str, detail: impl Into<String>) {
        self.items.push((Grade::Mistake, what, detail.into()));
    }

    /// Whether anything of this kind was wrong.
    pub(super) fn is_wrong(&self, what: &str) -> bool {
        let wrong = |grade| matches!(grade, Grade::Failed | Grade::Mistake);
        self.items
            .iter()
            .any(|(grade, name, _)| *name == what && wrong(*grade))
    }

    /// Mistakes weigh more than failures: they are for the user to mend.
    pub(super) fn outcome(&self) -> Outcome {
        let any = |wanted| self.items.iter().any(|(grade, ..)| *grade == wanted);
        if any(Grade::Mistake) {
            Outcome::Mistakes
        } else if any(Grade::Failed) {
            Outcome::Bad
        } else {
            Outcome::Good
        }
    }

    /// For a person.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for (grade, what, detail) in &self.items {
            let (sign, word) = grade.words();
            out += &format!(
                "{sign} {word:7}  {what:11}  {}\n",
                detail.replace('\n', "\n    ")
            );
        }
        let count = |wanted| {
            self.items
                .iter()
                .filter(|(grade, ..)| *grade == wanted)
                .count()
        };
        out += &match self.outcome() {
            Outcome::Good => "all good\n".to_owned(),
            Outcome::Bad | Outcome::Mistakes | Outcome::Unfit => {
                format!(
                    "mistakes: {}, failed: {}\n",
                    count(Grade::Mistake),
                    count(Grade::Failed)
                )
            }
        };
        out
    }

    /// For a script.
    pub(super) fn json(&self) -> String {
        let items: Vec<_> = self
            .items
            .iter()
            .map(|(grade, what, detail)| {
                json!({ "grade": grade.words().1, "check": what, "detail": detail })
            })
            .collect();
        format!(
            "{:#}\n",
            json!({ "checks": items, "good": self.outcome() == Outcome::Good })
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_weigh_more_than_failures() {
        let mut list = List::default();
        list.good("a", "fine");
        list.note("b", "by the way");
        assert_eq!(list.outcome(), Outcome::Good);
        list.failed("c", "away");
        assert_eq!(list.outcome(), Outcome::Bad);
        list.mistake("d", "wrong");
        assert_eq!(list.outcome(), Outcome::Mistakes);
        assert!(list.text().contains("✗ mistake  d            wrong\n"));
        assert!(list.text().ends_with("mistakes: 1, failed: 1\n"));
        assert!(list.is_wrong("c") && !list.is_wrong("b"));
    }
}
