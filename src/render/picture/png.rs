//! SVG to PNG, with the fonts that are built in and no others, so that a picture is the same on
//! every machine. Must not know what the picture shows.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Source};
use resvg::usvg::{Options, Tree};

/// The longest side. Viewers on telephones refuse larger pictures or show them blurred.
const SIDE_MAX: f32 = 8_192.0;

/// Four bytes each while drawing: 32 MiB.
const PIXELS_MAX: f32 = 8.0 * 1024.0 * 1024.0;

/// What Discord takes as an attachment from everybody.
const BYTES_MAX: usize = 10 * 1024 * 1024;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no SVG.
    #[error("the picture is no SVG that can be drawn")]
    Svg(#[from] resvg::usvg::Error),
    /// It has no size to draw it at.
    #[error("the picture cannot be drawn at scale {0}")]
    Size(f32),
    /// The pixels could not be written as PNG.
    #[error("the picture cannot be written as PNG: {0}")]
    Encode(String),
}

static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    // The second one holds emoji, which people put into titles.
    for font in [epaint_default_fonts::HACK_REGULAR, epaint_default_fonts::NOTO_EMOJI_REGULAR] {
        fonts.load_font_source(Source::Binary(Arc::new(font)));
    }
    fonts.set_monospace_family("Hack");
    Arc::new(fonts)
});

/// `svg` at `scale` pixels to the point, or at less where it would become too large.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, Error> {
    let options = Options {
        font_family: "Hack".to_owned(),
        fontdb: Arc::clone(&FONTS),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options)?;
    let wanted = Some(scale).filter(|scale| *scale > 0.0).ok_or(Error::Size(scale))?;
    let mut scale = wanted.min(scale_max(tree.size().width(), tree.size().height()));
    loop {
        let bytes = draw(&tree, scale)?;
        if bytes.len() <= BYTES_MAX {
            return Ok(bytes);
        }
        scale /= 2.0;
    }
}

/// At how many pixels to the point a picture of this size can be had.
pub(super) fn scale_max(width: f32, height: f32) -> f32 {
    (SIDE_MAX / width.max(height)).min((PIXELS_MAX / (width * height)).sqrt())
}

fn draw(tree: &Tree, scale: f32) -> Result<Vec<u8>, Error> {
    let pixels = |points: f32| (points * scale).floor() as u32;
    let mut pixmap = Pixmap::new(pixels(tree.size().width()), pixels(tree.size().height()))
        .ok_or(Error::Size(scale))?;
    resvg::render(tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|why| Error::Encode(why.to_string()))
}
