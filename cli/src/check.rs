//! `check`: is the manifest right, and do both arms fit it? Everything is looked at before the
//! answer, so that one run names all that is wrong.

mod arm;
mod fields;
mod list;
mod methods;
mod ports;
mod ramp;

use std::fs;
use std::path::Path;

use cutover_manifest::{Arm, DescriptorSource, Manifest};
use prost_reflect::DescriptorPool;

use crate::args::{CheckArgs, Output};
use crate::failure::{Failure, Outcome};
use crate::output::print;
use crate::run::read_manifest;
use list::List;

/// Runs the command.
pub(crate) async fn run(args: CheckArgs) -> Result<Outcome, Failure> {
    let mut list = List::default();
    let file = args.file.display().to_string();
    match read_manifest(&args.file) {
        Err(failure) => list.mistake("manifest", failure.body()),
        Ok(manifest) => {
            list.good("manifest", summary(&file, &manifest));
            sense(&manifest, &mut list);
            let mut described = described(&manifest, &mut list);
            if let Some(pool) = &described {
                against(&file, &manifest, pool, &mut list);
            }
            if !args.offline {
                let served = arms(&file, &manifest, described.is_some(), &mut list).await;
                ports::check(&manifest, &mut list);
                described = described.or(served);
            }
            ramp::check(&manifest, described.as_ref(), args.rate, &mut list);
        }
    }
    let text = match args.output {
        Output::Text => list.text(),
        Output::Json => list.json(),
    };
    print(&text)?;
    Ok(list.outcome())
}

fn summary(file: &str, manifest: &Manifest) -> String {
    let steps = manifest.ramp.as_ref().map_or(0, |ramp| ramp.steps.len());
    format!(
        "{file}: {}, {} rules, {steps} steps of the ramp",
        manifest.name,
        manifest.rules.len()
    )
}

/// What is wrong with addresses that are each well written.
fn sense(manifest: &Manifest, list: &mut List) {
    if manifest.legacy.authority == manifest.candidate.authority {
        let both = &manifest.legacy.authority;
        list.mistake(
            "arms",
            format!("spec.legacy.url and spec.candidate.url are both {both}"),
        );
    }
    for arm in Arm::BOTH {
        if manifest.arm(arm).authority == manifest.listen {
            let listen = &manifest.listen;
            list.mistake(
                "arms",
                format!("spec.{arm}.url is spec.listen ({listen}): a loop"),
            );
        }
    }
}

/// The descriptors of a file that the manifest names, if it names one.
fn described(manifest: &Manifest, list: &mut List) -> Option<DescriptorPool> {
    let DescriptorSource::File(file) = &manifest.descriptors else {
        return None;
    };
    match read_descriptors(Path::new(file)) {
        Ok(pool) => {
            list.good(
                "descriptors",
                format!("{file}: {} services", pool.services().len()),
            );
            Some(pool)
        }
        Err(error) => {
            list.mistake(
                "descriptors",
                format!("spec.descriptors.file {file}: {error}"),
            );
            None
        }
    }
}

fn read_descriptors(file: &Path) -> Result<DescriptorPool, String> {
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    DescriptorPool::decode(bytes.as_slice())
        .map_err(|error| format!("not an encoded FileDescriptorSet: {error}"))
}

/// Holds the manifest's rules against descriptors.
fn against(file: &str, manifest: &Manifest, pool: &DescriptorPool, list: &mut List) {
    methods::check_rules(file, manifest, pool, list);
    fields::check_rules(file, manifest, pool, list);
}

/// Looks at both arms, and holds the manifest against what they say where no file did; gives that.
async fn arms(
    file: &str,
    manifest: &Manifest,
    has_file: bool,
    list: &mut List,
) -> Option<DescriptorPool> {
    let legacy = arm::look(Arm::Legacy, manifest.arm(Arm::Legacy), list).await;
    let candidate = arm::look(Arm::Candidate, manifest.arm(Arm::Candidate), list).await;
    if let (Some(legacy), Some(candidate)) = (&legacy, &candidate) {
        methods::check_same(legacy, candidate, list);
    }
    let served = legacy.or(candidate);
    if !has_file {
        match &served {
            Some(pool) => against(file, manifest, pool, list),
            None => list.failed(
                "rules",
                "methods and fields can't be checked without descriptors: let an arm serve \
                 reflection, or name a file in spec.descriptors.file",
            ),
        }
    }
    served
}
