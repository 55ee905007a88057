// series.csv and state.csv of a result folder, written second by second: a run of any length keeps no more than one second in memory, and one that is
// killed leaves what it has done. The folder is made with the first second; before that nothing is written.
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LINE_END, SERIES_HEADER, seriesLine, STATE_HEADER, stateLine } from '../report/series.js';
import type { SeriesRow, StateRow } from '../torture/series.js';

export class SeriesFiles {
  readonly #folder: string;
  #begun = false;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Appends one second. */
  add(rows: readonly SeriesRow[], state: StateRow): void {
    this.begin();
    const lines = rows.map((row) => seriesLine(row) + LINE_END);
    appendFileSync(join(this.#folder, 'series.csv'), lines.join(''));
    appendFileSync(join(this.#folder, 'state.csv'), stateLine(state) + LINE_END);
  }

  /** Makes the folder with both files, if add() has not. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    mkdirSync(this.#folder, { recursive: true });
    writeFileSync(join(this.#folder, 'series.csv'), SERIES_HEADER + LINE_END);
    writeFileSync(join(this.#folder, 'state.csv'), STATE_HEADER + LINE_END);
  }
}
