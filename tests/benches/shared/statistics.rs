//! Medians and spreads.

pub(crate) fn spread(sorted: &[f64]) -> String {
    format!(
        "{:.0} ({:.0}–{:.0})",
        quantile(sorted, 0.5),
        quantile(sorted, 0.0),
        quantile(sorted, 1.0)
    )
}

pub(crate) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * q).round() as usize).copied().unwrap_or(f64::NAN)
}
