"""The look of the report: one palette for pictures and page, by day and by night."""

COLOURS = (
    "#1b7fc4",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#8c6bb1",
    "#8a8a8a",
)
"""Colours of lines: those of Okabe and Ito (2008) that show on white and black."""

RIGHT, WRONG = "#009e73", "#d55e00"
"""Frames of right and wrong gallery images; a mark says the same without colour."""

INK, LINE, SHADE = "#010203", "#040506", "#070809"
"""Stand-ins in pictures for the page's text, line and shade colours; see `LIVE`."""

LIVE = {INK: "currentColor", LINE: "var(--line)", SHADE: "var(--shade)"}
"""What the stand-ins become in the page, where they follow its light or dark scheme."""

FIGURE_STYLE = {
    "font.size": 9.0,
    "font.family": "sans-serif",
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "text.parse_math": False,
}

PAGE_STYLE = """
:root { color-scheme: light dark; --ink: #1c2128; --muted: #5c6672; --page: #f5f6f8;
  --card: #ffffff; --line: #d5dae0; --shade: #e9ecf0; --accent: #0072b2;
  --right: #009e73; --wrong: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ed; --muted: #98a3b0;
  --page: #12151a; --card: #1b2027; --line: #38414c; --shade: #2a313a;
  --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans",
  sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 28px 20px 60px; }
header { margin-bottom: 20px; }
h1 { font-size: 27px; line-height: 1.25; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 0 0 4px; }
h3 { font-size: 15px; margin: 20px 0 6px; }
p { margin: 4px 0 12px; max-width: 78ch; }
.muted, figcaption, caption { color: var(--muted); font-size: 13px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 22px 20px; margin: 16px 0; }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px;
  margin-top: 14px; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
.facts { display: flex; flex-wrap: wrap; gap: 4px 22px; margin: 10px 0 0; padding: 0;
  list-style: none; font-size: 14px; }
.facts b { font-weight: 600; }
.facts span { color: var(--muted); margin-right: 6px; }
.scores { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr));
  gap: 12px; margin: 18px 0 0; }
.score { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 10px 14px 12px; }
.score b { display: block; font-size: 26px; line-height: 1.2; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.score small { color: var(--muted); font-size: 13px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px;
  margin: 6px 0 4px; }
caption { text-align: left; caption-side: bottom; padding-top: 6px; }
th, td { padding: 5px 14px; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 2px; }
thead th { color: var(--muted); font-size: 13px; vertical-align: bottom; }
td.quiet { color: var(--muted); }
td.strong { font-weight: 650; }
figure { margin: 12px 0 4px; overflow-x: auto; }
svg { display: block; width: 100%; min-width: 700px; height: auto; }
svg text { font-family: inherit !important; }
.ranking { display: flex; gap: 8px; margin: 6px 0 16px; }
.shot { width: 86px; flex: none; font-size: 11px; line-height: 1.35;
  color: var(--muted); }
.shot.query { margin-right: 14px; }
.frame { width: 86px; height: 166px; border: 3px solid var(--line); border-radius: 5px;
  overflow: hidden; position: relative; background: var(--shade); }
.frame img { display: block; width: 100%; height: 100%; object-fit: contain; }
.query .frame { border-color: var(--muted); }
.right .frame { border-color: var(--right); }
.wrong .frame { border-color: var(--wrong); border-style: dashed; }
.mark { position: absolute; right: 0; bottom: 0; padding: 0 5px; color: #fff;
  font-size: 12px; font-weight: 700; border-top-left-radius: 5px; }
.right .mark { background: var(--right); }
.wrong .mark { background: var(--wrong); }
.blank { display: flex; flex-direction: column; align-items: center;
  justify-content: center; height: 100%; color: var(--ink); font-size: 12px; }
.blank b { font-size: 19px; }
.shot b { color: var(--ink); }
.blocks { display: grid; gap: 0 20px;
  grid-template-columns: repeat(auto-fit, minmax(min(500px, 100%), 1fr)); }
.prompts { display: flex; flex-wrap: wrap; gap: 12px 28px; }
.key { margin-right: 18px; }
.maps { border-spacing: 0; width: auto; }
.maps th, .maps td { border: 0; padding: 2px 3px; text-align: center; font-size: 12px;
  color: var(--muted); font-weight: 400; white-space: normal; width: 76px; }
.maps th:first-child, .maps td:first-child { text-align: center; padding-left: 3px; }
.maps img { display: block; width: 68px; border-radius: 4px; margin: 0 auto; }
.scale { display: inline-block; width: 90px; height: 9px; border-radius: 3px;
  margin: 0 6px; }
.swatch { display: inline-block; width: 11px; height: 11px; border-radius: 2px;
  margin-right: 7px; }
details { margin-top: 6px; }
summary { cursor: pointer; color: var(--accent); }
.config { columns: 2 420px; column-gap: 40px; margin-top: 10px; }
.config table { width: 100%; break-inside: avoid; }
.config td { white-space: normal; overflow-wrap: anywhere; font-size: 13px;
  padding: 2px 4px; }
footer { color: var(--muted); font-size: 13px; margin-top: 24px; }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""
