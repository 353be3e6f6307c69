//! What one core knows of each method: its rule, its label, and the counters of its primary calls.
//! Found by the hash that the path's field brings along, whatever the number of rules; made anew
//! when a table or descriptors come into force, while calls under way keep what they began with.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cutover_compare::Descriptors;
use cutover_manifest::{Arm, MethodRoute, Role, RouteTable};
use cutover_wire::FieldRef;
use hashbrown::HashTable;

use super::MirrorRule;
use crate::observe::{Cell, OTHER, Stats};
use crate::shared::Shared;

/// One method by one route table.
pub(crate) struct Method {
    pub(crate) path: Box<str>,
    /// The path where it is known, else [`OTHER`].
    pub(crate) label: Arc<str>,
    pub(crate) table: Arc<RouteTable>,
    pub(crate) route: MethodRoute,
    pub(crate) mirror: MirrorRule,
    /// By arm.
    cells: RefCell<[Cell; 2]>,
}

impl Method {
    fn new(
        descriptors: Option<&Descriptors>,
        table: &Arc<RouteTable>,
        path: &str,
        label: Arc<str>,
    ) -> Rc<Method> {
        let route = table.route(path).clone();
        let mirror = MirrorRule::new(route.mirror, descriptors, path);
        let cell = |arm| Cell::new(route.weight, arm, Role::Primary);
        Rc::new(Method {
            path: path.into(),
            label,
            table: table.clone(),
            mirror,
            cells: RefCell::new(Arm::BOTH.map(cell)),
            route,
        })
    }

    /// A method of which no descriptor tells.
    #[cfg(test)]
    pub(super) fn of(table: &Arc<RouteTable>, path: &str) -> Rc<Method> {
        Method::new(None, table, path, path.into())
    }

    /// Counts an ended primary call.
    pub(crate) fn ended(&self, arm: Arm, status: u32, duration: Duration) {
        self.cells.borrow_mut()[arm.index()].ended(status, Some(duration));
    }

    fn drain(&self, stats: &mut Stats) {
        for cell in self.cells.borrow_mut().iter_mut() {
            stats.take(self.table.epoch, &self.label, cell);
        }
    }
}

/// The methods of one core.
#[derive(Default)]
pub(crate) struct Methods {
    /// The change of [`Shared`] that all below stems from.
    change: Option<u64>,
    table: Option<Arc<RouteTable>>,
    /// Those with a label of their own, which bounds their number.
    known: HashTable<Rc<Method>>,
    /// One for each rule that methods without a label fall under.
    others: Vec<Rc<Method>>,
    /// Of earlier tables, with calls that have not ended.
    earlier: Vec<Rc<Method>>,
}

impl Methods {
    /// Whether another table or other descriptors have come into force; costs one load if not.
    pub(crate) fn refresh(&mut self, shared: &Shared) -> bool {
        let change = shared.change.load(Ordering::Acquire);
        if self.change == Some(change) {
            return false;
        }
        self.change = Some(change);
        self.earlier.extend(self.known.drain());
        self.earlier.append(&mut self.others);
        self.table = shared.table.load_full();
        true
    }

    /// The table that new calls go by; none until the first one comes.
    pub(crate) fn table(&self) -> Option<&Arc<RouteTable>> {
        self.table.as_ref()
    }

    /// The method of a path; none while there is no table.
    pub(crate) fn find(&mut self, shared: &Shared, path: FieldRef<'_>) -> Option<Rc<Method>> {
        let same = |method: &Rc<Method>| method.path.as_bytes() == path.value;
        if let Some(method) = self.known.find(spread(path.hash()), same) {
            return Some(method.clone());
        }
        let table = self.table.as_ref()?;
        let text = std::str::from_utf8(path.value).unwrap_or_default();
        let label = shared.labels.load().label(text);
        let descriptors = shared.descriptors.load();
        if &*label == OTHER {
            let rule = table.route(text);
            // Each rule has a list of its own.
            let same = |method: &&Rc<Method>| Arc::ptr_eq(&method.route.compare, &rule.compare);
            if let Some(method) = self.others.iter().find(same) {
                return Some(method.clone());
            }
            let method = Method::new(descriptors.as_deref(), table, text, label);
            self.others.push(method.clone());
            return Some(method);
        }
        let method = Method::new(descriptors.as_deref(), table, text, label);
        let rehash =
            |method: &Rc<Method>| spread(FieldRef::new(b":path", method.path.as_bytes()).hash());
        self.known
            .insert_unique(spread(path.hash()), method.clone(), rehash);
        Some(method)
    }

    /// Moves all that was counted into `stats`, and lets go of methods that nobody uses any more.
    pub(crate) fn drain(&mut self, stats: &mut Stats) {
        let all = self.earlier.iter().chain(&self.known).chain(&self.others);
        all.for_each(|method| method.drain(stats));
        self.earlier.retain(|method| Rc::strong_count(method) > 1);
    }
}

/// The table takes a hash's top bits for its tags.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
