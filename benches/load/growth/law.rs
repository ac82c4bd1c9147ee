//! How what grows is paid for, as a sentence: the law that describes the steps best.

use super::{Axis, FLAT_MAX, Point};
use crate::report::short;

/// A constant and what is paid for each of `of(value)`.
#[derive(Clone, Copy)]
struct Line {
    constant: f64,
    slope: f64,
}

impl Line {
    /// The one with the least squares of what it is off.
    fn through(places: &[(f64, f64)]) -> Self {
        let mean = |of: fn(&(f64, f64)) -> f64| places.iter().map(of).sum::<f64>() / places.len() as f64;
        let (x_mean, y_mean) = (mean(|place| place.0), mean(|place| place.1));
        let sum = |of: &dyn Fn(f64, f64) -> f64| places.iter().map(|(x, y)| of(x - x_mean, y - y_mean)).sum::<f64>();
        let slope = sum(&|x, y| x * y) / sum(&|x, _| x * x);
        Self { constant: y_mean - slope * x_mean, slope }
    }

    /// How far it is off at most, as a part of what was measured.
    fn off(self, places: &[(f64, f64)]) -> f64 {
        places.iter().map(|(x, y)| (self.constant + self.slope * x - y).abs() / y).fold(0.0, f64::max)
    }
}

/// What is paid when this grows, by the points of its steps. `None` where there are fewer than two.
pub(super) fn law(axis: Axis, points: &[&Point]) -> Option<String> {
    let (smallest, what) = (points.first().filter(|_| points.len() > 1)?, axis.what());
    let most = points.iter().map(|point| point.times_us).fold(0.0, f64::max);
    if most <= FLAT_MAX {
        return Some(format!("{what}: flat, at most {} × the smallest step", short(most)));
    }
    let places = |x: fn(f64) -> f64, us: fn(&Point) -> f64| {
        points.iter().map(|point| (x(point.value as f64), us(point))).collect::<Vec<_>>()
    };
    let best = |x: fn(f64) -> f64| {
        let all = places(x, Point::us);
        let line = Line::through(&all);
        (line, line.off(&all))
    };
    let (each, tenfold) = (best(|value| value), best(f64::log10));
    // Zero has no logarithm.
    let by_tens = smallest.value > 0 && tenfold.1 < each.1;
    let ((line, off), x, unit): (_, fn(f64) -> f64, _) =
        if by_tens { (tenfold, f64::log10, "each tenfold") } else { (each, |value| value, "each more") };
    let slope = |us| short(1_000.0 * Line::through(&places(x, us)).slope);
    let (service, redis) = (slope(|point| point.service_us), slope(|point| point.redis_us));
    let (slope, off) = (short(1_000.0 * line.slope), short(100.0 * off));
    Some(format!(
        "{what}: {unit} costs a delivery {slope} ns, {service} in the service and {redis} in Redis, within {off} %"
    ))
}
