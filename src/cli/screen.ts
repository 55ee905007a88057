// Lines that are drawn again and again in one place of a terminal. Each drawing is one write of the lines that have changed, so nothing flickers; other
// text goes above; a change of the terminal's size, or a return from the background, begins anew.

/** What a screen needs of a terminal: process.stderr is one. */
export interface Terminal {
  columns: number;
  rows: number;
  write(text: string): unknown;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

/** Terminals that know it show what is between in one go; others ignore it. */
const TOGETHER = '\u001B[?2026h';
const DONE = '\u001B[?2026l';
const ERASE_LINE_END = '\u001B[K';
const ERASE_BELOW = '\u001B[J';
const NEXT = '\r\n';

export class Screen {
  readonly #terminal: Terminal;
  readonly #linesFor: (size: { columns: number; rows: number }) => readonly string[];
  /** As they stand on the terminal, the cursor behind the last of them. */
  #drawn: readonly string[] = [];
  #closed = false;

  /** `linesFor` makes the lines for the terminal's size: fewer than it has rows, each shorter than it has columns. */
  constructor(terminal: Terminal, linesFor: (size: { columns: number; rows: number }) => readonly string[]) {
    this.#terminal = terminal;
    this.#linesFor = linesFor;
    terminal.on('resize', this.#resized);
    process.on('SIGCONT', this.#continued);
  }

  /** Brings the terminal up to date. */
  draw(): void {
    const lines = this.#lines();
    const parts = lines.map((line, n) => (line === this.#drawn[n] ? '' : `${line}${ERASE_LINE_END}`));
    const rest = lines.length < this.#drawn.length ? ERASE_BELOW : '';
    // The cursor has to end behind the last line also when that has not changed.
    const end = lines.length > 0 && parts.at(-1) === '' ? lines.at(-1)! : '';
    this.#terminal.write(`${TOGETHER}${this.#toTop(this.#drawn.length)}${parts.join(NEXT)}${end}${rest}${DONE}`);
    this.#drawn = lines;
  }

  /** Writes text, of whole lines, above what is drawn. */
  print(text: string): void {
    const lines = this.#lines();
    this.#terminal.write(
      `${TOGETHER}${this.#toTop(this.#drawn.length)}${ERASE_BELOW}${text.replaceAll(/(?<!\r)\n/g, NEXT)}${lines.join(NEXT)}${DONE}`,
    );
    this.#drawn = lines;
  }

  /** Takes everything away, and watches the terminal no longer. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#terminal.off('resize', this.#resized);
    process.off('SIGCONT', this.#continued);
    this.#terminal.write(`${this.#toTop(this.#drawn.length)}${ERASE_BELOW}`);
    this.#drawn = [];
  }

  #lines(): readonly string[] {
    const { columns, rows } = this.#terminal;
    return this.#linesFor({ columns, rows });
  }

  #toTop(rows: number): string {
    return rows > 1 ? `\r\u001B[${rows - 1}A` : '\r';
  }

  /** A narrower terminal breaks the lines that stood there into several rows. */
  readonly #resized = (): void => {
    const { columns } = this.#terminal;
    const rows = this.#drawn.reduce((sum, { length }) => sum + Math.max(1, Math.ceil(length / columns)), 0);
    this.#terminal.write(`${this.#toTop(rows)}${ERASE_BELOW}`);
    this.#drawn = [];
    this.draw();
  };

  /** The shell has written below meanwhile: that stays. */
  readonly #continued = (): void => {
    this.#drawn = [];
    this.draw();
  };
}
