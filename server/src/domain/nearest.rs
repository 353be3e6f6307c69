//! The nearest places: a k-d tree over points on the unit sphere, so that poles and the
//! antimeridian are places like any other.
//!
//! The tree only rules out what is surely too far, by `SLACK`; the order comes from the
//! contract's own formula, so the answer equals that of a look at every place.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::sphere::{Point, Position, RADIUS_M, metres};

/// More than the rounding errors of a haversine and of a chord together (both near 1e-15).
const SLACK: f64 = 1e-12;
/// A range of so few points is looked at one by one.
const LEAF: usize = 8;

/// A distance in metres, positive and finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxDistance(f64);

impl MaxDistance {
    /// `None` unless `metres` is positive and finite.
    pub fn new(metres: f64) -> Option<Self> {
        (metres > 0.0 && metres.is_finite()).then_some(Self(metres))
    }
}

/// A search by position.
#[derive(Clone, Copy, Debug)]
pub struct NearestQuery {
    /// Where to search from.
    pub position: Position,
    /// How many results at most.
    pub limit: usize,
    /// Only places at most so far away.
    pub max_distance: Option<MaxDistance>,
}

/// A place found by position; in order of distance, then of index, which is that of id.
#[derive(Clone, Copy, Debug)]
pub struct Near {
    /// Metres along the great circle.
    pub distance_m: f64,
    /// The place, by index.
    pub place: u32,
    haversine: f64,
}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        let distances = self.distance_m.total_cmp(&other.distance_m);
        distances.then_with(|| self.place.cmp(&other.place))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Near {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Near {}

/// A k-d tree in one array: the middle of each range divides it.
#[derive(Debug, Default)]
pub struct KdTree {
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    vector: [f64; 3],
    point: Point,
    place: u32,
    axis: u8,
}

impl KdTree {
    /// A tree over the positions of all places, in order of index.
    pub fn new(positions: impl Iterator<Item = Position>) -> Self {
        let node = |(place, position)| {
            let point = Point::from(position);
            Node {
                vector: point.unit_vector(),
                point,
                place,
                axis: 0,
            }
        };
        let mut nodes: Vec<_> = (0..).zip(positions).map(node).collect();
        divide(&mut nodes);
        Self { nodes }
    }

    /// The nearest places, nearest first.
    pub fn nearest(&self, query: &NearestQuery) -> Vec<Near> {
        let point = Point::from(query.position);
        let mut search = Search {
            vector: point.unit_vector(),
            point,
            limit: query.limit,
            max_distance_m: query.max_distance.map_or(f64::INFINITY, |max| max.0),
            bound: query
                .max_distance
                .map_or(f64::INFINITY, |max| haversine_of(max.0)),
            best: BinaryHeap::with_capacity(query.limit + 1),
        };
        search.visit(&self.nodes);
        search.best.into_sorted_vec()
    }
}

/// The haversine of a distance; nothing is further than the antipode.
fn haversine_of(distance_m: f64) -> f64 {
    let half_angle = distance_m / (2.0 * RADIUS_M);
    if half_angle < std::f64::consts::FRAC_PI_2 {
        half_angle.sin().powi(2)
    } else {
        1.0
    }
}

/// Puts the median of the widest axis in the middle, and so on in both halves.
fn divide(nodes: &mut [Node]) {
    if nodes.len() <= LEAF {
        return;
    }
    let width = |axis: usize| {
        let values = nodes.iter().map(|node| node.vector[axis]);
        let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), v| {
            (least.min(v), most.max(v))
        });
        most - least
    };
    let widths = [0, 1, 2].map(width);
    let axis = (0..3)
        .max_by(|&a, &b| widths[a].total_cmp(&widths[b]))
        .unwrap_or(0);
    let middle = nodes.len() / 2;
    nodes.select_nth_unstable_by(middle, |a, b| a.vector[axis].total_cmp(&b.vector[axis]));
    nodes[middle].axis = axis as u8;
    let (below, rest) = nodes.split_at_mut(middle);
    divide(below);
    divide(&mut rest[1..]);
}

struct Search {
    vector: [f64; 3],
    point: Point,
    limit: usize,
    max_distance_m: f64,
    /// The haversine beyond which nothing is wanted any more.
    bound: f64,
    best: BinaryHeap<Near>,
}

impl Search {
    fn visit(&mut self, nodes: &[Node]) {
        if nodes.len() <= LEAF {
            nodes.iter().for_each(|node| self.look_at(node));
            return;
        }
        let middle = nodes.len() / 2;
        let node = &nodes[middle];
        let axis = usize::from(node.axis);
        let apart = self.vector[axis] - node.vector[axis];
        let (below, above) = (&nodes[..middle], &nodes[middle + 1..]);
        let (near, far) = if apart < 0.0 {
            (below, above)
        } else {
            (above, below)
        };
        self.visit(near);
        self.look_at(node);
        // A chord to the far side is no shorter than the distance to the dividing plane.
        if apart * apart / 4.0 <= self.bound + SLACK {
            self.visit(far);
        }
    }

    fn look_at(&mut self, node: &Node) {
        let haversine = self.point.haversine(&node.point);
        if haversine > self.bound + SLACK {
            return;
        }
        let near = Near {
            distance_m: metres(haversine),
            place: node.place,
            haversine,
        };
        if near.distance_m > self.max_distance_m {
            return;
        }
        self.best.push(near);
        if self.best.len() > self.limit {
            self.best.pop();
        }
        if self.best.len() == self.limit
            && let Some(worst) = self.best.peek()
        {
            self.bound = self.bound.min(worst.haversine);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nearest_of_all(positions: &[Position], query: &NearestQuery) -> Vec<(f64, u32)> {
        let from = Point::from(query.position);
        let mut all: Vec<_> = (0..)
            .zip(positions)
            .map(|(place, &position)| (metres(from.haversine(&Point::from(position))), place))
            .filter(|&(distance, _)| query.max_distance.is_none_or(|max| distance <= max.0))
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.truncate(query.limit);
        all
    }

    fn check(positions: &[Position], query: NearestQuery) {
        let tree = KdTree::new(positions.iter().copied());
        let found = tree.nearest(&query);
        let found: Vec<_> = found
            .iter()
            .map(|near| (near.distance_m, near.place))
            .collect();
        assert_eq!(found, nearest_of_all(positions, &query), "{query:?}");
    }

    /// Positions with many ties: poles, antimeridian, repeated places and a coarse grid.
    fn position() -> impl Strategy<Value = Position> {
        let latitude = prop_oneof![-90.0..=90.0, Just(90.0), Just(-90.0), Just(0.0), Just(10.0)];
        let longitude = prop_oneof![-180.0..=180.0, Just(180.0), Just(-180.0), Just(0.0)];
        (latitude, longitude).prop_map(|(lat, lon)| Position::new(lat, lon).unwrap())
    }

    proptest! {
        #[test]
        fn equals_a_look_at_every_place(
            positions in prop::collection::vec(position(), 0..300),
            from in position(),
            limit in 1_usize..30,
            max_distance in prop::option::of(prop_oneof![1.0..2.1e7, 1.0..1e6]),
        ) {
            let max_distance = max_distance.and_then(MaxDistance::new);
            check(&positions, NearestQuery { position: from, limit, max_distance });
        }
    }

    #[test]
    fn finds_neighbours_across_the_antimeridian_and_around_a_pole() {
        let at = |lat, lon| Position::new(lat, lon).unwrap();
        let grid = (-90..=90).step_by(5).flat_map(|lat| {
            (-180..180)
                .step_by(5)
                .map(move |lon| at(f64::from(lat), f64::from(lon)))
        });
        let grid: Vec<_> = grid.collect();
        for position in [
            at(0.0, 179.9),
            at(0.0, -179.9),
            at(89.9, 10.0),
            at(-90.0, 0.0),
        ] {
            check(
                &grid,
                NearestQuery {
                    position,
                    limit: 20,
                    max_distance: None,
                },
            );
        }
    }

    #[test]
    fn a_distance_is_positive_and_finite() {
        assert!(MaxDistance::new(0.1).is_some());
        for wrong in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(MaxDistance::new(wrong), None);
        }
    }
}
