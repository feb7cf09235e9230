//! What figures must hold: the rows of docs/promises.md that a bench can hold.

use crate::figures::Figures;
use crate::{calls, files};

/// A figure that may not be larger than this.
struct Bar {
    figure: &'static str,
    most: f64,
    promise: &'static str,
    /// Measures it once more: other work on the machine may have come between.
    again: fn(&mut Figures),
}

const BARS: [Bar; 4] = [
    Bar {
        figure: "warm_call_over_exit",
        most: 1.25,
        promise: "a warm call with its reset, beside a bare exit",
        again: calls::exits_and_calls,
    },
    Bar {
        figure: "reset_us_per_page",
        most: 0.4,
        promise: "microseconds of a reset, per dirty page",
        again: calls::resets,
    },
    Bar {
        figure: "file_resident_beyond_mb",
        most: 64.0,
        promise: "megabytes of memory of all forks together, beyond the file",
        again: files::run,
    },
    Bar {
        figure: "file_pass_over_native",
        most: 1.5,
        promise: "a fork's first pass over the file, beside a native one",
        again: files::run,
    },
];

impl Bar {
    /// True if it was measured, and does not hold. What is no number does not.
    fn is_broken(&self, figures: &Figures) -> bool {
        figures
            .find(self.figure)
            .is_some_and(|value| value.is_nan() || value > self.most)
    }
}

/// Measures once more what does not hold.
pub(crate) fn measure_again(figures: &mut Figures) {
    for bar in &BARS {
        if bar.is_broken(figures) {
            println!("{} is more than {}: once more", bar.figure, bar.most);
            (bar.again)(figures);
        }
    }
}

/// A line for each bar that does not hold.
pub(crate) fn broken(figures: &Figures) -> Vec<String> {
    let broken = BARS.iter().filter(|bar| bar.is_broken(figures));
    broken
        .map(|bar| {
            let value = figures.get(bar.figure);
            let (figure, most) = (bar.figure, bar.most);
            format!(
                "{figure} is {value:.3}, and may be {most} ({})",
                bar.promise
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_named() {
        let mut figures = Figures::default();
        assert!(broken(&figures).is_empty(), "nothing was measured");
        figures.add("warm_call_over_exit", 1.25);
        figures.add("reset_us_per_page", 0.2);
        figures.add("file_resident_beyond_mb", -3.0);
        figures.add("file_pass_over_native", 1.0);
        figures.add("compute_int_ratio", 0.1);
        assert!(broken(&figures).is_empty());
        figures.add("file_pass_over_native", 1.51);
        figures.add("reset_us_per_page", f64::NAN);
        let lines = broken(&figures);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].starts_with("file_pass_over_native is 1.510, and may be 1.5 ("));
    }
}
