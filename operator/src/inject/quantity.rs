//! Kubernetes quantities, such as `100m` and `64Mi`, read to be compared: the API server would refuse a
//! wrong one too, but by a field that the pod's author never wrote.

/// A quantity in its base unit: cores, or bytes.
///
/// # Errors
/// What it must look like.
pub fn quantity(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` must be a quantity above 0, such as 100m for CPU or 64Mi for memory");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale = match unit {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    match number.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number * scale),
        _ => Err(wrong()),
    }
}
