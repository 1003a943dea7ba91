//! Numbers as pictures: stacked bars over time, and lines. Must not know what is counted.

use std::fmt::Write as _;

use crate::render::picture::page::{SMALL_SIZE, escape, text_width};
use crate::render::picture::theme::Theme;
use crate::render::words::{ellipsis, number};

/// The plot itself, in points: two thirds of a telephone's screen held sideways.
const PLOT: (f64, f64) = (560.0, 240.0);

/// Left of the plot stand the numbers of its axis, above it the title.
const LEFT: f64 = 72.0;
const TOP: f64 = 56.0;
const MARGIN: f64 = 24.0;

/// A line of the legend.
const LINE_HEIGHT: f64 = 20.0;

/// More series than this cannot be told apart by colour; the rest is one.
pub const SERIES_MAX: usize = 8;

/// Labels below the plot that fit beside each other.
const LABELS_MAX: usize = 8;

/// Names in the legend are cut here.
const NAME_COLUMNS_MAX: usize = 32;

/// One row of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What is counted.
    pub name: String,
    /// How much of it, for each label of the chart.
    pub values: Vec<f64>,
}

/// A chart of some series over the same labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What stands above it.
    pub title: String,
    /// What stands below each value.
    pub labels: Vec<String>,
    /// The rows, the first at the bottom.
    pub series: Vec<Series>,
    /// Horizontal lines with their names: a limit, a goal.
    pub marks: Vec<(String, f64)>,
    /// The values are parts of a whole.
    pub percent: bool,
}

impl Chart {
    /// Rows beyond those that can be told apart become one, called `the rest`.
    #[must_use]
    pub fn folded(mut self) -> Self {
        if self.series.len() > SERIES_MAX {
            let rest = self.series.split_off(SERIES_MAX - 1);
            let sum = |at| rest.iter().map(|s: &Series| s.values.get(at).unwrap_or(&0.0)).sum();
            let values = (0..self.labels.len()).map(sum).collect();
            self.series.push(Series { name: format!("the rest ({})", rest.len()), values });
        }
        self
    }

    fn value(&self, value: f64) -> String {
        if self.percent { format!("{:.0} %", value * 100.0) } else { short(value) }
    }

    /// Bars on top of each other, one column for each label.
    pub fn bars(&self, theme: Theme) -> String {
        let stacked = |at: usize| {
            self.series.iter().map(|s| s.values.get(at).copied().unwrap_or_default()).sum::<f64>()
        };
        let highest = (0..self.labels.len()).map(stacked).fold(0.0, f64::max);
        let scale = Scale::of(self.marks.iter().map(|(_, mark)| *mark).fold(highest, f64::max));
        let slot = PLOT.0 / self.labels.len().max(1) as f64;
        let mut body = String::new();
        for at in 0..self.labels.len() {
            let mut below = 0.0;
            for (ix, series) in self.series.iter().enumerate() {
                let value = series.values.get(at).copied().unwrap_or_default();
                let (top, bottom) = (scale.y(below + value), scale.y(below));
                below += value;
                if value > 0.0 {
                    let (x, width) = (LEFT + slot * at as f64 + slot * 0.12, slot * 0.76);
                    let _ = writeln!(
                        body,
                        "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
                         height=\"{:.1}\" fill=\"{}\"/>",
                        bottom - top,
                        theme.lane(ix)
                    );
                }
            }
        }
        self.sheet(theme, &scale, &body)
    }

    /// A line for each series.
    pub fn lines(&self, theme: Theme) -> String {
        let values = self.series.iter().flat_map(|series| series.values.iter().copied());
        let highest = values.fold(0.0, f64::max);
        let scale = Scale::of(self.marks.iter().map(|(_, mark)| *mark).fold(highest, f64::max));
        let step = PLOT.0 / self.labels.len().saturating_sub(1).max(1) as f64;
        let mut body = String::new();
        for (ix, series) in self.series.iter().enumerate() {
            let points = series.values.iter().enumerate();
            let point = |(at, value): (usize, &f64)| {
                format!("{:.1},{:.1}", LEFT + step * at as f64, scale.y(*value))
            };
            let points: Vec<String> = points.map(point).collect();
            let _ = writeln!(
                body,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" \
                 stroke-linejoin=\"round\"/>",
                points.join(" "),
                theme.lane(ix)
            );
        }
        self.sheet(theme, &scale, &body)
    }

    fn sheet(&self, theme: Theme, scale: &Scale, body: &str) -> String {
        let paper = theme.paper();
        let width = LEFT + PLOT.0 + MARGIN;
        let legend = self.legend(theme, TOP + PLOT.1 + 44.0);
        let rows = self.series.len() as f64;
        let height = TOP + PLOT.1 + 44.0 + LINE_HEIGHT * rows + MARGIN;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"Hack, monospace\" \
             font-size=\"{SMALL_SIZE}\">\n<rect width=\"100%\" height=\"100%\" fill=\"{}\"/>\n\
             <text x=\"{MARGIN}\" y=\"32\" font-size=\"16\" fill=\"{}\">{}</text>\n",
            paper.ground,
            paper.ink,
            escape(&ellipsis(&self.title, 64)),
        );
        for at in 0..=scale.steps {
            let value = scale.step * f64::from(at);
            let y = scale.y(value);
            let text = self.value(value);
            let x = LEFT - 8.0 - text_width(&text, SMALL_SIZE);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{:.1}\" stroke=\"{}\" stroke-opacity=\"0.3\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" fill=\"{}\">{text}</text>",
                LEFT + PLOT.0,
                paper.arrow,
                y + 4.0,
                paper.muted
            );
        }
        svg += body;
        svg += &self.below(theme);
        for (name, mark) in &self.marks {
            let y = scale.y(*mark);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{:.1}\" stroke=\"{}\" stroke-dasharray=\"6 4\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{}\">{}</text>",
                LEFT + PLOT.0,
                paper.ink,
                LEFT + PLOT.0 - text_width(&ellipsis(name, NAME_COLUMNS_MAX), SMALL_SIZE),
                y - 5.0,
                paper.ink,
                escape(&ellipsis(name, NAME_COLUMNS_MAX))
            );
        }
        svg + &legend + "</svg>\n"
    }

    /// The labels, as many as fit.
    fn below(&self, theme: Theme) -> String {
        let every = self.labels.len().div_ceil(LABELS_MAX).max(1);
        let slot = PLOT.0 / self.labels.len().max(1) as f64;
        let labels = self.labels.iter().enumerate().filter(|(at, _)| at % every == 0);
        let text = |(at, label): (usize, &String)| {
            let x = LEFT + slot * at as f64 + slot * 0.12;
            let (y, ink) = (TOP + PLOT.1 + 18.0, theme.paper().muted);
            format!("<text x=\"{x:.1}\" y=\"{y}\" fill=\"{ink}\">{}</text>\n", escape(label))
        };
        labels.map(text).collect()
    }

    fn legend(&self, theme: Theme, top: f64) -> String {
        let mut svg = String::new();
        for (ix, series) in self.series.iter().enumerate() {
            let y = top + LINE_HEIGHT * ix as f64;
            let sum: f64 = match self.percent {
                true => series.values.last().copied().unwrap_or_default(),
                false => series.values.iter().sum(),
            };
            let name = escape(&ellipsis(&series.name, NAME_COLUMNS_MAX));
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"12\" height=\"12\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{}\">{name} · {}</text>",
                y - 10.0,
                theme.lane(ix),
                LEFT + 20.0,
                y,
                theme.paper().ink,
                self.value(sum)
            );
        }
        svg
    }
}

/// What a value of the axis is in the picture.
struct Scale {
    step: f64,
    steps: u32,
}

impl Scale {
    /// Round steps up to a little above the highest value.
    fn of(highest: f64) -> Self {
        let highest = if highest > 0.0 { highest } else { 1.0 };
        let rough = highest / 4.0;
        let power = 10f64.powf(rough.log10().floor());
        let round = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|r| r * power >= rough);
        let step = round.unwrap_or(10.0) * power;
        Self { step, steps: (highest / step).ceil().max(1.0) as u32 }
    }

    fn y(&self, value: f64) -> f64 {
        let most = self.step * f64::from(self.steps);
        TOP + PLOT.1 * (1.0 - (value / most).clamp(0.0, 1.0))
    }
}

/// A number as an axis has room for.
fn short(value: f64) -> String {
    let scaled = |by: f64, unit: &str| {
        let number = format!("{:.1}", value / by);
        format!("{}{unit}", number.trim_end_matches(".0"))
    };
    match value.abs() {
        v if v >= 1e9 => scaled(1e9, "G"),
        v if v >= 1e6 => scaled(1e6, "M"),
        v if v >= 1e4 => scaled(1e3, "k"),
        v if v >= 1.0 && v.fract() == 0.0 => number(v as u64),
        0.0 => "0".to_owned(),
        _ => format!("{value:.2}"),
    }
}
