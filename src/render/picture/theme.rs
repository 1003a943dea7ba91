//! Colours and signs. Every look has its own colour, its own sign and, where it matters most, its
//! own frame, so that no reader depends on colour alone. Must not know sizes or places.

use crate::render::Look;

/// On what ground a picture is seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Theme {
    /// For files and documents.
    #[default]
    Light,
    /// For chats.
    Dark,
}

/// The colours of a picture as such.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paper {
    pub(super) ground: &'static str,
    /// The ground of what is set apart.
    pub(super) raised: &'static str,
    pub(super) ink: &'static str,
    pub(super) muted: &'static str,
    pub(super) arrow: &'static str,
}

/// The colours of a look: the inside of its box, and its frame and sign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ink {
    pub(crate) fill: &'static str,
    pub(crate) line: &'static str,
}

/// How the frame of a box is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Thin,
    /// Goes on.
    Strong,
    /// Wants to be seen first.
    Loud,
    /// No longer counts.
    Dashed,
}

impl Theme {
    pub(super) fn paper(self) -> Paper {
        match self {
            Self::Light => Paper {
                ground: "#ffffff",
                raised: "#f3f5f8",
                ink: "#1b1f24",
                muted: "#59636e",
                arrow: "#8c959f",
            },
            Self::Dark => Paper {
                ground: "#1a1b1e",
                raised: "#232428",
                ink: "#f2f3f5",
                muted: "#a9aeb7",
                arrow: "#737a85",
            },
        }
    }

    // tidy: flat match
    pub(crate) fn ink(self, look: Look) -> Ink {
        let (fill, line) = match (self, look) {
            (Self::Light, Look::Plain) => ("#f3f5f8", "#6e7781"),
            (Self::Light, Look::Waiting) => ("#f6f8fa", "#78818b"),
            (Self::Light, Look::Ready) => ("#eef6ff", "#0969da"),
            (Self::Light, Look::Running) => ("#d3e8ff", "#0860c8"),
            (Self::Light, Look::AsksPerson) => ("#ffefb8", "#8f5f00"),
            (Self::Light, Look::Paused) => ("#e6e9ee", "#505862"),
            (Self::Light, Look::Merging) => ("#f3e6ff", "#7a44d6"),
            (Self::Light, Look::Done) => ("#dcf7e3", "#1a7f37"),
            (Self::Light, Look::Failed) => ("#ffdfdc", "#c21c28"),
            (Self::Light, Look::Blocked) => ("#fff0e3", "#b04a00"),
            (Self::Light, Look::Skipped) => ("#ffffff", "#78818b"),
            (Self::Light, Look::Cancelled) => ("#ffffff", "#78818b"),
            (Self::Light, Look::Stale) => ("#faf5dc", "#756400"),
            (Self::Dark, Look::Plain) => ("#2a2c31", "#8e949e"),
            (Self::Dark, Look::Waiting) => ("#25272b", "#868c96"),
            (Self::Dark, Look::Ready) => ("#1b2838", "#58a6ff"),
            (Self::Dark, Look::Running) => ("#123a66", "#6cb2ff"),
            (Self::Dark, Look::AsksPerson) => ("#4d3800", "#ffc53d"),
            (Self::Dark, Look::Paused) => ("#353941", "#c0c6d0"),
            (Self::Dark, Look::Merging) => ("#38265e", "#c39bff"),
            (Self::Dark, Look::Done) => ("#14361f", "#4ac26b"),
            (Self::Dark, Look::Failed) => ("#571a1d", "#ff8077"),
            (Self::Dark, Look::Blocked) => ("#43270f", "#f0944a"),
            (Self::Dark, Look::Skipped) => ("#1a1b1e", "#868c96"),
            (Self::Dark, Look::Cancelled) => ("#1a1b1e", "#868c96"),
            (Self::Dark, Look::Stale) => ("#35300f", "#d9bf3a"),
        };
        Ink { fill, line }
    }

    /// The colour of a lane: after the last they come round again, which is why a lane's name
    /// stands beside it wherever there is room.
    pub(super) fn lane(self, lane: usize) -> &'static str {
        const LIGHT: [&str; 8] = [
            "#3b6fd4", "#d9822b", "#2a9d8f", "#b5479b", "#7a8f1e", "#7b5cc9", "#c94f4f", "#4d7f99",
        ];
        const DARK: [&str; 8] = [
            "#7aa5f7", "#f0a35e", "#4fd1c0", "#e58ccf", "#b7cc52", "#b09af5", "#f28b82", "#8fc1da",
        ];
        match self {
            Self::Light => LIGHT[lane % LIGHT.len()],
            Self::Dark => DARK[lane % DARK.len()],
        }
    }
}

pub(super) fn frame(look: Look) -> Frame {
    match look {
        Look::Plain | Look::Waiting | Look::Ready | Look::Paused | Look::Done | Look::Blocked => {
            Frame::Thin
        }
        Look::Running | Look::Merging => Frame::Strong,
        Look::AsksPerson | Look::Failed => Frame::Loud,
        Look::Skipped | Look::Cancelled | Look::Stale => Frame::Dashed,
    }
}

/// The sign of a look: drawn, so that it depends on no font. `(x, y)` is its centre, `radius` half
/// its size.
pub(super) fn sign(look: Look, theme: Theme, (x, y): (f64, f64), radius: f64) -> String {
    let line = theme.ink(look).line;
    let ground = theme.ink(look).fill;
    let scale = radius / 8.0;
    let (solid, hollow) = shapes(look);
    let solid = if solid.is_empty() {
        String::new()
    } else {
        format!(r#"<path d="{solid}" fill="{line}" stroke="{line}" stroke-width="1"/>"#)
    };
    let (stroke, d) = match hollow {
        Stroke::Line(d) => (line, d),
        Stroke::Cut(d) => (ground, d),
    };
    format!(
        r#"<g transform="translate({x:.1} {y:.1}) scale({scale:.2})" stroke-linejoin="round" stroke-linecap="round">{solid}<path d="{d}" fill="none" stroke="{stroke}" stroke-width="2"/></g>"#
    )
}

enum Stroke {
    /// In the colour of the look.
    Line(&'static str),
    /// In that of the box, on the solid part.
    Cut(&'static str),
}

/// In a square from -8 to 8: a solid part, and strokes.
fn shapes(look: Look) -> (&'static str, Stroke) {
    const DISC: &str = "M-7 0A7 7 0 1 1 7 0A7 7 0 1 1-7 0Z";
    const DIAMOND: &str = "M0-7.5L7.5 0L0 7.5L-7.5 0Z";
    const OCTAGON: &str = "M-3-7H3L7-3V3L3 7H-3L-7 3V-3Z";
    match look {
        Look::Plain => ("", Stroke::Line("M-5.5 0A5.5 5.5 0 1 1 5.5 0A5.5 5.5 0 1 1-5.5 0Z")),
        Look::Waiting => (
            "",
            Stroke::Line(
                "M-6.2-1.6A6.4 6.4 0 0 1-1.6-6.2M1.6-6.2A6.4 6.4 0 0 1 6.2-1.6M6.2 1.6A6.4 6.4 0 0 1 \
                 1.6 6.2M-1.6 6.2A6.4 6.4 0 0 1-6.2 1.6",
            ),
        ),
        Look::Ready => ("", Stroke::Line(DIAMOND)),
        Look::Running => (DISC, Stroke::Cut("M-2-3.2V3.2L3.4 0Z")),
        Look::AsksPerson => {
            (DIAMOND, Stroke::Cut("M-2-2.2A2.1 2.1 0 1 1 1-.5Q0 .1 0 1.2M0 4V4.05"))
        }
        Look::Paused => (DISC, Stroke::Cut("M-2.3-2.8V2.8M2.3-2.8V2.8")),
        Look::Merging => {
            ("", Stroke::Line("M-5-6C-5 0 0-1 0 6M5-6C5 0 0-1 0 6M-3 3.5L0 6.8L3 3.5"))
        }
        Look::Done => (DISC, Stroke::Cut("M-3.4 .2L-1 2.7L3.4-2.5")),
        Look::Failed => (OCTAGON, Stroke::Cut("M-2.8-2.8L2.8 2.8M2.8-2.8L-2.8 2.8")),
        Look::Blocked => (DISC, Stroke::Cut("M-3.6 0H3.6")),
        Look::Skipped => ("", Stroke::Line("M-5.5-4.5L-1 0L-5.5 4.5M1-4.5L5.5 0L1 4.5")),
        Look::Cancelled => {
            ("", Stroke::Line("M-6.3 0A6.3 6.3 0 1 1 6.3 0A6.3 6.3 0 1 1-6.3 0ZM-4.4 4.4L4.4-4.4"))
        }
        Look::Stale => ("", Stroke::Line("M5.8 2.2A6.2 6.2 0 1 1 5-3.7M5.6-7.2V-3.2H1.6")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let c = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// The ratios of WCAG 2.2 level AA: 4.5 for text, 3 for signs.
    #[test]
    fn text_and_signs_stand_out_in_both_themes() {
        for theme in [Theme::Light, Theme::Dark] {
            let paper = theme.paper();
            for look in Look::ALL {
                let ink = theme.ink(look);
                assert!(contrast(paper.ink, ink.fill) >= 4.5, "{theme:?} {look:?} text");
                assert!(contrast(paper.muted, ink.fill) >= 4.5, "{theme:?} {look:?} title");
                assert!(contrast(ink.line, ink.fill) >= 3.0, "{theme:?} {look:?} sign");
                assert!(contrast(ink.line, paper.ground) >= 3.0, "{theme:?} {look:?} frame");
            }
            for lane in 0..8 {
                assert!(contrast(theme.lane(lane), paper.ground) >= 2.5, "{theme:?} lane {lane}");
            }
        }
    }

    #[test]
    fn no_two_looks_share_their_sign_or_glyph() {
        for (at, a) in Look::ALL.iter().enumerate() {
            for b in &Look::ALL[at + 1..] {
                let at_origin = |look| sign(look, Theme::Light, (0.0, 0.0), 8.0);
                assert_ne!(
                    at_origin(*a).split(" d=").collect::<Vec<_>>()[1..],
                    at_origin(*b).split(" d=").collect::<Vec<_>>()[1..]
                );
                assert_ne!(a.glyph(), b.glyph());
            }
        }
    }
}
