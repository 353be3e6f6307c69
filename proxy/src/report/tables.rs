//! Route tables and descriptors: how they come into force.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cutover_compare::check_fields;
use cutover_manifest::{Manifest, MethodPath, RouteTable, Weight, Weights};
use cutover_proto::cutover::v1 as proto;
use tokio_util::sync::CancellationToken;

use crate::observe::Labels;
use crate::reflection;
use crate::shared::Shared;

/// The pause between attempts to get descriptors.
const RETRY: Duration = Duration::from_secs(2);

/// Puts tables in force.
pub(crate) struct Tables {
    pub(crate) shared: Arc<Shared>,
}

impl Tables {
    /// Reads a table that came from the control plane and puts it in force. An error leaves the
    /// one before in force and says why.
    pub(crate) fn receive(&self, table: &proto::RouteTable) -> Result<(), String> {
        let manifest = Manifest::parse("manifest", &table.manifest).map_err(|e| e.to_string())?;
        let weights = table
            .weights
            .as_ref()
            .map(weights)
            .transpose()?
            .unwrap_or_default();
        let manifest = Arc::new(manifest);
        self.apply(RouteTable::build(
            manifest,
            &weights,
            table.generation,
            table.epoch,
        ));
        Ok(())
    }

    /// Puts a table in force: one atomic swap, calls under way go on by the one before.
    pub(crate) fn apply(&self, table: RouteTable) {
        let source = |table: &RouteTable| {
            let manifest = &table.manifest;
            (
                manifest.legacy.clone(),
                manifest.candidate.clone(),
                manifest.descriptors.clone(),
            )
        };
        let before = self.shared.table.load();
        let same_source = before
            .as_ref()
            .is_some_and(|before| source(before) == source(&table));
        let same_text = before
            .as_ref()
            .is_some_and(|before| before.manifest.text == table.manifest.text);
        tracing::info!(
            generation = table.generation,
            epoch = table.epoch,
            "route table in force"
        );
        let limits = &table.manifest.limits;
        self.shared
            .mirror_memory
            .set_limit(limits.mirror_memory_bytes);
        self.shared.table.store(Some(Arc::new(table)));
        relabel(&self.shared);
        if !same_text {
            hold_rules_against_descriptors(&self.shared);
        }
        if !same_source {
            self.shared.describe.notify_one();
        }
    }
}

fn weights(weights: &proto::Weights) -> Result<Weights, String> {
    let weight = |bp: u32| Weight::from_bp(bp).ok_or(format!("weight {bp} is above 10,000"));
    let by_method = |map: &std::collections::HashMap<String, u32>| {
        map.iter()
            .map(|(path, bp)| {
                let path = MethodPath::parse(path).map_err(|error| error.to_string())?;
                Ok((path, weight(*bp)?))
            })
            .collect::<Result<_, String>>()
    };
    Ok(Weights {
        ramp: weight(weights.ramp_bp)?,
        ramp_by_method: by_method(&weights.ramp_by_method_bp)?,
        override_all: weights.override_bp.map(weight).transpose()?,
        override_by_method: by_method(&weights.override_by_method_bp)?,
    })
}

fn relabel(shared: &Shared) {
    let descriptors = shared.descriptors.load();
    let table = shared.table.load();
    let labels = Labels::new(descriptors.as_deref(), table.as_deref());
    shared.labels.store(Arc::new(labels));
    shared.change.fetch_add(1, Ordering::Release);
}

/// Says which rules name what the descriptors don't have. The table stays in force: a weight that
/// must fall is worth more than a rule that has no effect.
fn hold_rules_against_descriptors(shared: &Shared) {
    let (table, descriptors) = (shared.table.load(), shared.descriptors.load());
    let (Some(table), Some(descriptors)) = (table.as_ref(), descriptors.as_ref()) else {
        return;
    };
    let manifest = &table.manifest;
    let methods = manifest.check_methods("manifest", &descriptors.paths());
    let fields = check_fields("manifest", manifest, descriptors.methods());
    for mistake in methods.iter().chain(&fields) {
        tracing::warn!(%mistake, "a rule doesn't fit the descriptors, and has no effect");
    }
}

/// Keeps the descriptors: fetched when a table names new arms, and tried again until they come.
pub(crate) async fn describe(shared: Arc<Shared>, stop: CancellationToken) {
    let mut wait = true;
    loop {
        tokio::select! {
            () = shared.describe.notified() => {}
            () = tokio::time::sleep(RETRY), if !wait => {}
            () = stop.cancelled() => return,
        }
        let Some(table) = shared.table.load_full() else {
            continue;
        };
        match reflection::descriptors(&table.manifest).await {
            Ok(descriptors) => {
                tracing::info!(methods = descriptors.paths().len(), "descriptors loaded");
                shared.descriptors.store(Some(Arc::new(descriptors)));
                relabel(&shared);
                hold_rules_against_descriptors(&shared);
                wait = true;
            }
            Err(reason) => {
                tracing::warn!(
                    reason,
                    "no descriptors: calls are routed, but none is mirrored"
                );
                wait = false;
            }
        }
    }
}
