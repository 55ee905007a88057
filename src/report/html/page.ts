// The frame of an HTML report: one file without scripts, fonts or images from elsewhere, light and dark as the reader's system is.

/** Text inside HTML or an attribute. */
export function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** A cell that is HTML already, and not text. */
export interface Html {
  html: string;
}

export type Cell = string | Html;

function cell(content: Cell): string {
  return typeof content === 'string' ? escape(content) : content.html;
}

/** A table; all columns but the first are numbers, unless `text` names them. */
export function table(
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  text: readonly number[] = [],
): string {
  if (rows.length === 0) return '';
  const side = (n: number): string => (n === 0 || text.includes(n) ? '' : ' class="number"');
  const line = (cells: readonly Cell[], tag: string): string =>
    `<tr>${cells.map((content, n) => `<${tag}${side(n)}>${cell(content)}</${tag}>`).join('')}</tr>`;
  return `<div class="wide"><table><thead>${line(head, 'th')}</thead><tbody>${rows.map((row) => line(row, 'td')).join('')}</tbody></table></div>`;
}

/** A section; empty text without content. */
export function section(title: string, content: string, note = ''): string {
  if (content === '') return '';
  return `<section><h2>${escape(title)}</h2>${note === '' ? '' : `<p class="note">${escape(note)}</p>`}${content}</section>`;
}

const STYLE = `
:root { color-scheme: light dark; --page: #fff; --text: #1c2128; --soft: #59636e; --line: #d9dee3; --card: #f6f8fa; --a: #0b62c4; --b: #b3541e; --c: #1a7f4b; --good: #1a7f37; --bad: #c62828; --unsure: #8a6100; }
@media (prefers-color-scheme: dark) { :root { --page: #0e1116; --text: #e6eaef; --soft: #99a3ae; --line: #30363d; --card: #171b21; --a: #6cb0ff; --b: #f0a070; --c: #5fcf93; --good: #4cc26a; --bad: #ff7b72; --unsure: #e3b341; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 24px; background: var(--page); color: var(--text); font: 14px/1.5 system-ui, sans-serif; }
h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 32px 0 8px; border-bottom: 1px solid var(--line); padding-bottom: 4px; } h3 { font-size: 14px; margin: 16px 0 4px; }
p { margin: 4px 0; } .note, figcaption { color: var(--soft); font-size: 12.5px; } code, pre { font: 12.5px/1.45 ui-monospace, monospace; } pre { overflow-x: auto; background: var(--card); padding: 12px; border-radius: 6px; }
.verdict { display: inline-block; padding: 1px 10px; border-radius: 10px; color: var(--page); font-weight: 600; vertical-align: 3px; font-size: 13px; margin-left: 8px; }
.passed { background: var(--good); } .violated, .threshold { background: var(--bad); } .inconclusive { background: var(--unsure); }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 16px 0; } .tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 8px 14px; min-width: 120px; } .tile b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; } .tile span { color: var(--soft); font-size: 12px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; } th, td { text-align: left; padding: 3px 14px 3px 0; border-bottom: 1px solid var(--line); white-space: nowrap; } th { color: var(--soft); font-weight: 500; } .number { text-align: right; }
.violation { border-left: 4px solid var(--bad); background: var(--card); padding: 8px 12px; margin: 8px 0; border-radius: 0 6px 6px 0; } .share { display: inline-block; width: 90px; height: 8px; background: var(--line); border-radius: 4px; margin-right: 8px; } .share i { display: block; height: 8px; border-radius: 4px; background: var(--b); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 6px 20px; margin-top: 10px; } figure { margin: 0; } svg { width: 100%; height: auto; } svg text { fill: var(--soft); font: 10px system-ui, sans-serif; } svg .name { fill: var(--text); }
.grid { stroke: var(--line); } .line { fill: none; stroke-width: 1.5; stroke-linejoin: round; } .line.a { stroke: var(--a); } .line.b { stroke: var(--b); } .line.c { stroke: var(--c); } .area { opacity: 0.12; } .area.a, circle.a { fill: var(--a); } .area.b, circle.b { fill: var(--b); } .area.c, circle.c { fill: var(--c); }
.bar { fill: var(--a) !important; opacity: 0.75; } .mark { stroke: var(--b); stroke-dasharray: 3 2; } .point rect { fill: transparent; } .point circle { visibility: hidden; } .point:hover circle { visibility: visible; } .point:hover .bar { opacity: 1; }
`;

/** The whole document. */
export function page(title: string, body: string): string {
  return `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escape(title)}</title><style>${STYLE}</style></head>\n<body>\n${body}\n</body></html>\n`;
}
