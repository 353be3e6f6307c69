//! The summary of an SQL statement: its verb and its tables, as `db.query.summary` has it. Not a
//! parser: enough for both arms to get the same words for the same statement.

/// Longest statement that is looked at, bytes.
const MAX_STATEMENT_BYTES: usize = 8192;
/// Most tables in a summary.
const MAX_TABLES: usize = 8;

/// `SELECT places` for `SELECT name FROM places WHERE id = ?`; `None` without a verb.
pub(super) fn summary(statement: &str) -> Option<String> {
    let mut end = statement.len().min(MAX_STATEMENT_BYTES);
    while !statement.is_char_boundary(end) {
        end -= 1;
    }
    let tokens = tokens(&statement[..end]);
    let verb_at = match tokens.first()?.to_ascii_uppercase().as_str() {
        // WITH a AS (…) SELECT: the verb behind the common table expressions.
        "WITH" => tokens.iter().position(|token| is_verb(token))?,
        _ => 0,
    };
    let verb = tokens[verb_at].to_ascii_uppercase();
    if !verb.chars().all(|c| c.is_ascii_alphabetic()) {
        return None;
    }
    let mut words = vec![verb.clone()];
    let mut expects_table = ["UPDATE", "CALL", "EXEC", "EXECUTE"].contains(&verb.as_str());
    for token in &tokens[verb_at + 1..] {
        let upper = token.to_ascii_uppercase();
        match upper.as_str() {
            "FROM" | "INTO" | "JOIN" | "TABLE" => expects_table = true,
            // INSERT OR REPLACE INTO, UPDATE OR IGNORE, DELETE FROM ONLY, CREATE TABLE IF NOT EXISTS.
            "OR" | "REPLACE" | "IGNORE" | "ABORT" | "FAIL" | "ROLLBACK" | "ONLY" | "IF" | "NOT"
            | "EXISTS"
                if expects_table => {}
            "(" if expects_table => expects_table = false,
            _ if expects_table => {
                let table = token.rsplit('.').next().unwrap_or(token).to_owned();
                if !words[1..].contains(&table) && words.len() <= MAX_TABLES {
                    words.push(table);
                }
                expects_table = false;
            }
            _ => {}
        }
    }
    Some(words.join(" "))
}

/// The function whose single value is all that a SELECT gives: `count` for `SELECT count(*) FROM
/// visits`. Reading all rows to count them is another operation.
pub(super) fn aggregate(statement: &str) -> Option<&'static str> {
    let mut end = statement.len().min(MAX_STATEMENT_BYTES);
    while !statement.is_char_boundary(end) {
        end -= 1;
    }
    let tokens = tokens(&statement[..end]);
    let [select, function, bracket, ..] = tokens.as_slice() else {
        return None;
    };
    let is = |token: &String, word: &str| token.eq_ignore_ascii_case(word);
    // With groups, each of them gives a row.
    let grouped = tokens.iter().any(|token| is(token, "GROUP"));
    if !is(select, "SELECT") || bracket != "(" || grouped {
        return None;
    }
    ["count", "sum", "min", "max", "avg"]
        .into_iter()
        .find(|known| is(function, known))
}

/// Whether a verb only frames others. Libraries differ in whether they open transactions by
/// statements of their own, so these are no part of the contract.
pub(super) fn is_framing(verb: &str) -> bool {
    let framing = [
        "BEGIN",
        "COMMIT",
        "END",
        "ROLLBACK",
        "SAVEPOINT",
        "RELEASE",
        "START",
        "PRAGMA",
    ];
    framing.contains(&verb)
}

/// Whether a verb changes data.
pub(super) fn is_write(verb: &str) -> bool {
    ["INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "UPSERT"].contains(&verb)
}

fn is_verb(token: &str) -> bool {
    let upper = token.to_ascii_uppercase();
    upper == "SELECT" || is_write(&upper)
}

/// Words and brackets; comments, literals and quotes are left out.
fn tokens(statement: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = statement.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '-' if chars.peek() == Some(&'-') => while chars.next().is_some_and(|c| c != '\n') {},
            '/' if chars.peek() == Some(&'*') => {
                let mut last = ' ';
                while chars.next().is_some_and(|c| {
                    let ends = last == '*' && c == '/';
                    last = c;
                    !ends
                }) {}
            }
            '\'' => while chars.next().is_some_and(|c| c != '\'') {},
            '(' => tokens.push("(".to_owned()),
            c if is_word(c) => {
                // Quotes around names fall away: "main"."places", `places` and [places] are words.
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| is_word(*c)) {
                    word.push(c);
                }
                word.retain(|c| !['"', '`', '[', ']'].contains(&c));
                if !word.is_empty() {
                    tokens.push(word);
                }
            }
            _ => {}
        }
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || ['_', '.', '$', '"', '`', '[', ']'].contains(&c)
}

#[cfg(test)]
mod tests {
    use super::{aggregate, summary};

    #[test]
    fn verb_and_tables() {
        let check = |statement: &str, expected: &str| {
            assert_eq!(summary(statement).as_deref(), Some(expected), "{statement}");
        };
        check("SELECT name, id FROM places WHERE id = ?", "SELECT places");
        check(
            "select count(*) from visits where place_id = ?",
            "SELECT visits",
        );
        check("INSERT INTO visits (place_id) VALUES (1)", "INSERT visits");
        check(
            "INSERT OR REPLACE INTO \"main\".\"visits\" VALUES (1)",
            "INSERT visits",
        );
        check("UPDATE places SET name = 'FROM names'", "UPDATE places");
        check("DELETE FROM [visits]", "DELETE visits");
        check(
            "SELECT * FROM places p JOIN names n ON n.place_id = p.id",
            "SELECT places names",
        );
        check("-- why\n/* FROM x */ SELECT 1 FROM places", "SELECT places");
        check(
            "WITH a AS (SELECT 1 FROM names) SELECT * FROM a",
            "SELECT names a",
        );
        check("SELECT * FROM (SELECT id FROM places)", "SELECT places");
        check("CALL tidy_up(1)", "CALL tidy_up");
        check("BEGIN IMMEDIATE", "BEGIN");
    }

    #[test]
    fn a_single_value_is_told_from_rows() {
        for (statement, expected) in [
            (
                "SELECT count(*) FROM visits WHERE place_id = ?",
                Some("count"),
            ),
            ("select MAX (id) from visits", Some("max")),
            ("SELECT id FROM visits WHERE place_id = ?", None),
            (
                "SELECT country, count(*) FROM places GROUP BY country",
                None,
            ),
            ("SELECT count(*) FROM places GROUP BY country", None),
            ("SELECT count FROM visits", None),
            ("INSERT INTO count (a) VALUES (1)", None),
            ("", None),
        ] {
            assert_eq!(aggregate(statement), expected, "{statement}");
        }
    }

    #[test]
    fn nothing_to_summarise() {
        for statement in ["", "  ", "-- only a comment", "12 monkeys"] {
            assert_eq!(summary(statement), None, "{statement}");
        }
    }
}
