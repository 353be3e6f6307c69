//! A route measured point by point.

use super::sphere::{Point, Position, metres};

/// Points that a route may have.
pub const MAX_POINTS: u32 = 10_000;

/// The measure of a route so far: legs are added in order from 0.0 with plain additions.
#[derive(Clone, Debug, Default)]
pub struct RouteMeter {
    last: Option<Point>,
    points: u32,
    distance_m: f64,
    longest_leg_m: f64,
}

impl RouteMeter {
    /// Adds the next point. The caller has seen to it that [`Self::is_full`] is false.
    pub fn add(&mut self, position: Position) {
        let point = Point::from(position);
        if let Some(last) = self.last.replace(point) {
            let leg_m = metres(last.haversine(&point));
            self.distance_m += leg_m;
            if leg_m > self.longest_leg_m {
                self.longest_leg_m = leg_m;
            }
        }
        self.points += 1;
    }

    /// Whether the route has as many points as it may have.
    pub fn is_full(&self) -> bool {
        self.points >= MAX_POINTS
    }

    /// Points added.
    pub fn points(&self) -> u32 {
        self.points
    }

    /// Metres of all legs.
    pub fn distance_m(&self) -> f64 {
        self.distance_m
    }

    /// Metres of the longest leg; 0 without a leg.
    pub fn longest_leg_m(&self) -> f64 {
        self.longest_leg_m
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(points: &[(f64, f64)]) -> RouteMeter {
        let mut meter = RouteMeter::default();
        for &(latitude, longitude) in points {
            meter.add(Position::new(latitude, longitude).unwrap());
        }
        meter
    }

    #[test]
    fn a_route_without_a_leg_has_no_length() {
        assert_eq!(measured(&[]).distance_m(), 0.0);
        let one = measured(&[(1.0, 2.0)]);
        assert_eq!(
            (one.points(), one.distance_m(), one.longest_leg_m()),
            (1, 0.0, 0.0)
        );
    }

    #[test]
    fn adds_legs_in_order_and_keeps_the_longest() {
        let route = measured(&[(0.0, 0.0), (0.0, 1.0), (0.0, 3.0), (0.0, 4.0)]);
        let legs = [
            measured(&[(0.0, 0.0), (0.0, 1.0)]).distance_m(),
            measured(&[(0.0, 1.0), (0.0, 3.0)]).distance_m(),
            measured(&[(0.0, 3.0), (0.0, 4.0)]).distance_m(),
        ];
        assert_eq!(route.distance_m(), legs[0] + legs[1] + legs[2]);
        assert_eq!(route.longest_leg_m(), legs[1]);
        assert_eq!(route.points(), 4);
    }

    #[test]
    fn is_full_at_the_bound_only() {
        let mut meter = measured(&vec![(0.0, 0.0); MAX_POINTS as usize - 1]);
        assert!(!meter.is_full());
        meter.add(Position::new(0.0, 0.0).unwrap());
        assert!(meter.is_full());
    }
}
