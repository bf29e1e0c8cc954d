//! Adds the signals of a mail up, and turns the sum into a score that means something.

use injection::{SIGNALS, Signals};

use crate::report::threshold;

/// A mail's signals from weights that never saw its like.
pub(crate) struct Told {
    pub(crate) signals: Signals,
    pub(crate) attack: bool,
    /// Innocent mail, as people get it.
    pub(crate) mail: bool,
    pub(crate) weight: f32,
}

const STEPS: usize = 3000;
const RATE: f32 = 0.05;

/// Weights that part the two best by logistic regression, none below zero.
pub(crate) fn fusion(told: &[Told]) -> [f32; SIGNALS] {
    let mut weights = [0.2; SIGNALS];
    let mut bias = 0.0;
    let totals: [f32; 2] = [false, true]
        .map(|label| told.iter().filter(|it| it.attack == label).map(|it| it.weight).sum());
    for _ in 0..STEPS {
        let mut gradient = [0.0f32; SIGNALS];
        let mut bias_gradient = 0.0;
        for it in told {
            let list = it.signals.list();
            let odds = bias + sum(&list, &weights);
            let target = if it.attack { 1.0 } else { 0.0 };
            let weight = it.weight / totals[usize::from(it.attack)].max(f32::EPSILON);
            let error = (1.0 / (1.0 + (-odds).exp()) - target) * weight;
            for (to, value) in gradient.iter_mut().zip(list) {
                *to += error * value;
            }
            bias_gradient += error;
        }
        for (weight, gradient) in weights.iter_mut().zip(gradient) {
            *weight = (*weight - RATE * gradient).max(0.0);
        }
        bias -= RATE * bias_gradient;
    }
    weights
}

pub(crate) fn sum(list: &[f32; SIGNALS], weights: &[f32; SIGNALS]) -> f32 {
    list.iter().zip(weights).map(|(it, weight)| it * weight).sum()
}

/// From sums to scores: 0.5 stands for 1% of innocent mail, 0.8 for 0.1%, and 0.95 for what no mail
/// and no more than a thousandth of the look-alikes reach.
pub(crate) fn curve(told: &[Told], weights: &[f32; SIGNALS]) -> Vec<(f32, f32)> {
    let sums = |wanted: &dyn Fn(&Told) -> bool| -> Vec<f64> {
        let wanted = told.iter().filter(|it| wanted(it));
        wanted.map(|it| f64::from(sum(&it.signals.list(), weights))).collect()
    };
    let mail = sums(&|it| it.mail);
    let all = sums(&|it| !it.attack);
    let attacks = sums(&|it| it.attack);
    let certain = threshold(&mail, 0.0).max(threshold(&all, 0.001));
    let least = mail.iter().copied().fold(f64::MAX, f64::min);
    let knots = [
        (least, 0.0),
        (threshold(&mail, 0.5), 0.02),
        (threshold(&mail, 0.05), 0.15),
        (threshold(&mail, 0.01), 0.5),
        (threshold(&mail, 0.001), 0.8),
        (certain, 0.95),
        (threshold(&attacks, 0.02), 1.0),
    ];
    let mut curve: Vec<(f32, f32)> = Vec::new();
    for (sum, score) in knots {
        let sum = sum as f32;
        let before = curve.last().map_or(f32::MIN, |it| it.0);
        curve.push((sum.max(before + 0.01), score));
    }
    curve
}

/// The sum that gets this score.
pub(crate) fn sum_of(curve: &[(f32, f32)], score: f64) -> f32 {
    let score = score as f32;
    let above = curve.partition_point(|it| it.1 < score);
    let (Some(to), Some(from)) = (curve.get(above), above.checked_sub(1).map(|it| curve[it]))
    else {
        return curve.last().map_or(f32::MAX, |it| it.0);
    };
    from.0 + (to.0 - from.0) * (score - from.1) / (to.1 - from.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: f32, attack: bool) -> Told {
        let signals = Signals { both: value, rules: -value, ..Signals::default() };
        Told { signals, attack, mail: !attack, weight: 1.0 }
    }

    #[test]
    fn what_tells_apart_gets_the_weight_and_nothing_goes_below_zero() {
        let told: Vec<Told> = (0..100).map(|it| told(it as f32 / 10.0 - 5.0, it >= 50)).collect();
        let weights = fusion(&told);
        assert!(weights[3] > 0.2 && weights[6] == 0.0, "{weights:?}");
    }

    #[test]
    fn half_stands_for_one_in_a_hundred() {
        let told: Vec<Told> = (0..10_000).map(|it| told(it as f32 / 100.0, it >= 9_000)).collect();
        let curve = curve(&told, &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        assert!(curve.windows(2).all(|it| it[0].0 < it[1].0 && it[0].1 < it[1].1), "{curve:?}");
        assert!((curve[3].0 - 89.1).abs() < 0.05, "{curve:?}");
    }

    #[test]
    fn a_score_leads_back_to_its_sum() {
        let curve = [(-1.0, 0.0), (1.0, 0.5), (2.0, 1.0)];
        for (score, sum) in [(0.25, 0.0), (0.5, 1.0), (0.75, 1.5), (1.0, 2.0)] {
            assert!((sum_of(&curve, score) - sum).abs() < 1e-6, "{score}");
        }
    }
}
