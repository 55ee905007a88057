// Numbers as people read them: three significant digits and a unit.

/** Nanoseconds as `850 ns`, `12.3 us`, `4.56 ms`, `1.2 s`; `-` when not a number. */
export function showNs(ns: number): string {
  if (!Number.isFinite(ns)) return '-';
  if (ns < 1000) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${digits(ns / 1e3)} us`;
  if (ns < 1e9) return `${digits(ns / 1e6)} ms`;
  return `${digits(ns / 1e9)} s`;
}

/** A count as `950`, `12.3k`, `4.56M`, `1.2G`. */
export function showCount(count: number): string {
  if (count < 10_000) return String(Math.round(count));
  if (count < 1e6) return `${digits(count / 1e3)}k`;
  if (count < 1e9) return `${digits(count / 1e6)}M`;
  return `${digits(count / 1e9)}G`;
}

/** A share of 1 as `0.3 %`, `42 %`. */
export function showShare(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function columnWidths(rows: readonly (readonly string[])[]): number[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, n) => (widths[n] = Math.max(widths[n] ?? 0, cell.length)));
  return widths;
}

/** Lays rows of text out in columns, all left-aligned. */
export function leftTable(rows: readonly (readonly string[])[]): string[] {
  const widths = columnWidths(rows);
  return rows.map((row) =>
    row
      .map((cell, n) => cell.padEnd(widths[n]!))
      .join(' ')
      .trimEnd(),
  );
}

/** Lays rows out in columns: the first left-aligned, the others right-aligned. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = columnWidths(rows);
  const line = (row: readonly string[]): string =>
    row
      .map((cell, n) => (n === 0 ? cell.padEnd(widths[n]!) : cell.padStart(widths[n]!)))
      .join('  ')
      .trimEnd();
  return rows.map(line).join('\n');
}
