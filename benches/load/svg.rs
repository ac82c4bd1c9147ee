//! What every picture of the bench has: the text of the page around it, its title, and at its foot what was measured where.

/// Width of a picture.
const WIDTH: f64 = 760.0;
/// From one line of the foot to the next.
const LINE: f64 = 16.0;

/// What is drawn for pages in light and in dark colours, and in both.
pub(crate) struct Style {
    pub(crate) both: &'static str,
    pub(crate) light: &'static str,
    pub(crate) dark: &'static str,
}

/// A picture of `drawing`, which is `height` high; `foot` stands below, from `left` on.
pub(crate) fn picture(
    title: &str,
    style: &Style,
    (left, height): (f64, f64),
    drawing: &str,
    foot: &[String],
) -> String {
    let Style { both, light, dark } = style;
    let lines: String = (1..)
        .zip(foot)
        .map(|(n, text)| {
            let (y, text) = (height + LINE * f64::from(n), text.replace('&', "&amp;").replace('<', "&lt;"));
            format!("<text class=\"small\" x=\"{left}\" y=\"{y}\">{text}</text>")
        })
        .collect();
    let whole = height + LINE * (foot.len() as f64 + 1.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {whole}\" width=\"{WIDTH}\" height=\"{whole}\" \
         role=\"img\"><title>{title}</title><style>text{{font:13px system-ui,sans-serif;fill:#24292f}}\
         .small{{font-size:11px;fill:#57606a}}{both}{light}@media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}\
         .small{{fill:#9da7b3}}{dark}}}</style>{drawing}{lines}</svg>\n"
    )
}
