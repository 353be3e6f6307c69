//! `weight`: shows, overrides or resets the weight of one method or of all.

use cutover_manifest::Weight;
use cutover_proto::cutover::v1::{GetStatusResponse, SetWeightRequest, Status};

use super::client::Client;
use super::json::{self, Shape};
use super::scope;
use crate::args::{Output, WeightArgs};
use crate::failure::{Failure, Outcome};
use crate::output::print;
use crate::text::{self, Table};

/// What the words on the command line ask for.
#[derive(Debug, PartialEq)]
enum Wish {
    Show(Option<String>),
    Set(Option<String>, Weight),
    Reset(Option<String>),
}

/// Runs the command.
pub(crate) async fn run(args: WeightArgs) -> Result<Outcome, Failure> {
    let wish = read(&args)?;
    let (scope, weight) = match wish {
        Wish::Show(scope) => return show(&args, scope).await,
        Wish::Set(scope, weight) => (scope, Some(weight)),
        Wish::Reset(scope) => (scope, None),
    };
    let Some(why) = args.reason.why.clone() else {
        return Err(Failure::usage("a change of weight needs a reason")
            .help("add --why 'TEXT': it is kept in the decision log"));
    };
    let mut client = Client::connect(&args.operator).await?;
    let scope = match scope {
        None => scope::ALL.to_owned(),
        Some(given) => scope::resolve(Some(&given), &client.status().await?)?,
    };
    let message = SetWeightRequest {
        scope: scope.clone(),
        weight_bp: weight.map(|weight| u32::from(weight.bp())),
        who: args.reason.who.clone(),
        why,
        revision: None,
    };
    let ask = async |client: &mut Client, revision| {
        let revision = Some(revision);
        let request = client.request(SetWeightRequest {
            revision,
            ..message.clone()
        });
        client.service.set_weight(request).await
    };
    let answer = client.change(args.reason.revision, ask).await?;
    match args.operator.output {
        Output::Json => print(&json::render("SetWeightResponse", &answer, Shape::Pretty)?)?,
        Output::Text => {
            let what = if scope == scope::ALL {
                "all methods"
            } else {
                &scope
            };
            let done = match weight {
                Some(weight) => format!("override: {weight} for {what}\n"),
                None => format!("no override any more for {what}\n"),
            };
            print(&(done + &table(&answer.status.unwrap_or_default(), &scope)))?;
        }
    }
    Ok(Outcome::Good)
}

async fn show(args: &WeightArgs, scope: Option<String>) -> Result<Outcome, Failure> {
    let mut client = Client::connect(&args.operator).await?;
    let mut status = client.status().await?;
    let scope = scope::resolve(scope.as_deref(), &status)?;
    match args.operator.output {
        Output::Text => print(&table(&status, &scope))?,
        Output::Json => {
            status
                .methods
                .retain(|method| covers(&scope, &method.method));
            let answer = GetStatusResponse {
                status: Some(status),
            };
            print(&json::render("GetStatusResponse", &answer, Shape::Pretty)?)?;
        }
    }
    Ok(Outcome::Good)
}

/// Sorts out `[METHOD] [PERCENT]`, `--all` and `--reset`.
fn read(args: &WeightArgs) -> Result<Wish, Failure> {
    let words: Vec<&str> = args.what.iter().map(String::as_str).collect();
    let (scope, percent) = match (args.all, words.as_slice()) {
        (_, []) => (None, None),
        (true, [percent]) => (None, Some(*percent)),
        (true, [method, ..]) => {
            return Err(
                Failure::usage(format!("both --all and the method {method:?} are given"))
                    .help("take one of them out"),
            );
        }
        (false, [number]) if number_of(number).is_some() => {
            return Err(
                Failure::usage(format!("whose weight should be {number}?")).help(format!(
                    "write `cutover weight METHOD {number}` or `--all {number}`"
                )),
            );
        }
        (false, [method]) => (Some((*method).to_owned()), None),
        (false, [method, percent, ..]) => (Some((*method).to_owned()), Some(*percent)),
    };
    match (percent, args.reset) {
        (Some(percent), true) => Err(Failure::usage(format!(
            "both --reset and the weight {percent} are given"
        ))
        .help("take one of them out")),
        (Some(percent), false) => Ok(Wish::Set(scope, weight(percent)?)),
        (None, true) if scope.is_none() && !args.all => {
            Err(Failure::usage("which override should end?").help("name a METHOD, or write --all"))
        }
        (None, true) => Ok(Wish::Reset(scope)),
        (None, false) => Ok(Wish::Show(scope)),
    }
}

fn number_of(text: &str) -> Option<f64> {
    text.trim_end_matches('%').trim().parse().ok()
}

fn weight(text: &str) -> Result<Weight, Failure> {
    let right = "write a number from 0 to 100 in steps of 0.01";
    let percent = number_of(text)
        .ok_or_else(|| Failure::usage(format!("{text:?} is not a weight")).help(right))?;
    Weight::from_percent(percent).map_err(|error| Failure::usage(error).help(right))
}

fn covers(scope: &str, method: &str) -> bool {
    scope == scope::ALL || scope == method
}

/// Weights with their owners, and the overrides in force.
fn table(status: &Status, scope: &str) -> String {
    let mut table = Table::new(&["METHOD", "WEIGHT", "DECIDED BY"]);
    for method in status
        .methods
        .iter()
        .filter(|method| covers(scope, &method.method))
    {
        let weight = text::percent(method.weight_bp);
        table.row(vec![
            method.method.clone(),
            weight,
            method.weight_owner.clone(),
        ]);
    }
    let mut out = table.render();
    for o in &status.overrides {
        out += &format!(
            "  override of {}: {} since {} by {}: {}\n",
            if o.scope == scope::ALL {
                "all"
            } else {
                &o.scope
            },
            text::percent(o.weight_bp),
            text::moment(o.at_unix_ms),
            o.who,
            o.why
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn wish(line: &str) -> Result<Wish, Failure> {
        let words = ["cutover", "weight"]
            .into_iter()
            .chain(line.split_whitespace());
        match Cli::parse_from(words).command {
            Command::Weight(args) => read(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_what_is_asked_for() {
        let weight = |bp| Weight::from_bp(bp).unwrap();
        assert_eq!(wish("").unwrap(), Wish::Show(None));
        assert_eq!(wish("Get").unwrap(), Wish::Show(Some("Get".to_owned())));
        assert_eq!(
            wish("Get 0.01").unwrap(),
            Wish::Set(Some("Get".to_owned()), weight(1))
        );
        assert_eq!(wish("--all 25%").unwrap(), Wish::Set(None, weight(2500)));
        assert_eq!(
            wish("Get --reset").unwrap(),
            Wish::Reset(Some("Get".to_owned()))
        );
        assert_eq!(wish("--all --reset").unwrap(), Wish::Reset(None));
    }

    #[test]
    fn refuses_what_is_unclear_or_outside() {
        for line in [
            "25",
            "--all Get 25",
            "--reset",
            "Get 25 --reset",
            "Get 101",
            "Get -1",
        ] {
            assert!(wish(line).is_err(), "{line}");
        }
        assert!(
            wish("Get 0.005")
                .unwrap_err()
                .to_string()
                .contains("steps of 0.01")
        );
    }
}
