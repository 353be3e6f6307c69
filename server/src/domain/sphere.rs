//! Positions on the sphere and the distance between two of them.
//!
//! Both arms must give the same float, so the formula keeps the contract's order of operations.

/// The sphere's radius in metres.
pub const RADIUS_M: f64 = 6_371_008.8;

/// A position in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    latitude: f64,
    longitude: f64,
}

/// What a position's part may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionError {
    /// The latitude is not between -90 and 90.
    pub latitude: bool,
    /// The longitude is not between -180 and 180.
    pub longitude: bool,
}

impl Position {
    /// A position of `latitude` degrees north (-90 to 90) and `longitude` degrees east (-180 to
    /// 180); the error names each part that is out of its range. NaN is out of range.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, PositionError> {
        let error = PositionError {
            latitude: !(-90.0..=90.0).contains(&latitude),
            longitude: !(-180.0..=180.0).contains(&longitude),
        };
        if error.latitude || error.longitude {
            return Err(error);
        }
        Ok(Self {
            latitude,
            longitude,
        })
    }

    /// Degrees north.
    pub fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees east.
    pub fn longitude(self) -> f64 {
        self.longitude
    }
}

/// A position in radians with the cosine of its latitude, which every distance needs.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    latitude: f64,
    longitude: f64,
    cos_latitude: f64,
}

impl Point {
    /// The square of half the chord to `other` on the unit sphere: 0 at the same place, 1 at the
    /// antipode. It rises with the distance.
    pub fn haversine(&self, other: &Self) -> f64 {
        let sin_lat = ((other.latitude - self.latitude) / 2.0).sin();
        let sin_lon = ((other.longitude - self.longitude) / 2.0).sin();
        sin_lat * sin_lat + self.cos_latitude * other.cos_latitude * (sin_lon * sin_lon)
    }

    /// The point on the unit sphere.
    pub fn unit_vector(&self) -> [f64; 3] {
        [
            self.cos_latitude * self.longitude.cos(),
            self.cos_latitude * self.longitude.sin(),
            self.latitude.sin(),
        ]
    }
}

impl From<Position> for Point {
    fn from(position: Position) -> Self {
        let latitude = position.latitude.to_radians();
        let longitude = position.longitude.to_radians();
        Self {
            latitude,
            longitude,
            cos_latitude: latitude.cos(),
        }
    }
}

/// Metres along the great circle for a haversine.
pub fn metres(haversine: f64) -> f64 {
    2.0 * RADIUS_M * haversine.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(from: (f64, f64), to: (f64, f64)) -> f64 {
        let [from, to] = [from, to].map(|(lat, lon)| Point::from(Position::new(lat, lon).unwrap()));
        metres(from.haversine(&to))
    }

    #[test]
    fn measures_known_distances() {
        assert_eq!(distance((42.5, 1.5), (42.5, 1.5)), 0.0);
        let quarter = std::f64::consts::FRAC_PI_2 * RADIUS_M;
        assert!((distance((0.0, 0.0), (90.0, 0.0)) - quarter).abs() < 1e-6);
        assert!((distance((0.0, -180.0), (0.0, 180.0))).abs() < 1e-6);
        assert!((distance((90.0, 0.0), (-90.0, 77.0)) - 2.0 * quarter).abs() < 1e-6);
    }

    #[test]
    fn names_each_part_out_of_range() {
        let error = |latitude, longitude| {
            Err(PositionError {
                latitude,
                longitude,
            })
        };
        assert_eq!(Position::new(90.1, 0.0), error(true, false));
        assert_eq!(Position::new(0.0, -180.1), error(false, true));
        assert_eq!(Position::new(f64::NAN, f64::INFINITY), error(true, true));
        assert!(Position::new(-90.0, 180.0).is_ok());
    }
}
