// The live view's screen: what a terminal shows after it was drawn, redrawn, resized, written to; and that only what has changed is written.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Screen, type Terminal } from '#src/cli/screen.js';

/** A control sequence with its number and its letter, or any other character. */
const ESCAPE = new RegExp(`${String.fromCodePoint(27)}\\[\\??(\\d*)([A-Za-z])|[^]`, 'g');

/** A terminal that knows what Screen uses: text, CR, LF, cursor up, erase to the end of the line or of the screen. It breaks lines that are too long. */
class Emulator implements Terminal {
  columns: number;
  rows: number;
  /** All rows ever, those scrolled out included. */
  readonly screen: string[] = [''];
  written = '';
  #row = 0;
  #column = 0;
  #resize: (() => void) | undefined;

  constructor(columns: number, rows: number) {
    this.columns = columns;
    this.rows = rows;
  }

  on(_: 'resize', listener: () => void): void {
    this.#resize = listener;
  }

  off(): void {
    this.#resize = undefined;
  }

  write(text: string): void {
    this.written = text;
    for (const [token, up, letter] of text.matchAll(ESCAPE)) {
      if (letter === 'A') this.#row = Math.max(this.#row - Number(up), this.screen.length - this.rows, 0);
      else if (letter === 'K') this.#line = this.#line.slice(0, this.#column);
      else if (letter === 'J') {
        this.screen.length = this.#row + 1;
        this.#line = this.#line.slice(0, this.#column);
      } else if (letter !== undefined) continue;
      else if (token === '\r') this.#column = 0;
      else if (token === '\n') this.#down();
      else this.#put(token);
    }
  }

  get #line(): string {
    return this.screen[this.#row]!;
  }

  set #line(text: string) {
    this.screen[this.#row] = text;
  }

  #down(): void {
    this.#row++;
    if (this.#row === this.screen.length) this.screen.push('');
  }

  #put(letter: string): void {
    if (this.#column === this.columns) {
      this.#column = 0;
      this.#down();
    }
    this.#line = this.#line.slice(0, this.#column).padEnd(this.#column) + letter + this.#line.slice(this.#column + 1);
    this.#column++;
  }

  /** A user drags the window: rows that are longer than it is wide now are broken up, as most terminals do. */
  resize(columns: number, rows: number): void {
    const broken = this.screen.flatMap((row) => row.match(new RegExp(`.{1,${columns}}`, 'g')) ?? ['']);
    this.screen.splice(0, this.screen.length, ...broken);
    this.#row = this.screen.length - 1;
    this.#column = this.#line.length;
    [this.columns, this.rows] = [columns, rows];
    this.#resize?.();
  }
}

function drawn(columns = 40, rows = 10): { terminal: Emulator; show: (lines: string[]) => void; screen: Screen } {
  const terminal = new Emulator(columns, rows);
  let lines: string[] = [];
  const screen = new Screen(terminal, (size) =>
    lines.slice(0, size.rows - 1).map((line) => line.slice(0, size.columns - 1)),
  );
  return { terminal, screen, show: (now) => ((lines = now), screen.draw()) };
}

describe('a screen', () => {
  it('draws in place: the second drawing replaces the first, also a longer or a shorter one', () => {
    const { terminal, show, screen } = drawn();
    terminal.write('$ rmptorture\r\n');
    for (const lines of [['a', 'bb', 'c'], ['a', 'b'], ['x', 'b', 'c', 'd'], ['x']]) {
      show(lines);
      expect(terminal.screen).toEqual(['$ rmptorture', ...lines]);
    }
    screen.close();
    expect(terminal.screen).toEqual(['$ rmptorture', '']);
  });

  it('writes nothing of lines that have not changed but the last, where the cursor stays', () => {
    const { terminal, show, screen } = drawn();
    show(['first', 'second', 'third']);
    show(['first', 'other', 'third']);
    expect(terminal.written).not.toContain('first');
    expect(terminal.written).toContain('other');
    screen.close();
  });

  it('lets text of whole lines in above', () => {
    const { terminal, show, screen } = drawn();
    show(['a', 'b']);
    screen.print('warning\n');
    expect(terminal.screen).toEqual(['warning', 'a', 'b']);
    show(['a', 'c']);
    expect(terminal.screen).toEqual(['warning', 'a', 'c']);
    screen.close();
  });

  it('begins anew below what the shell has written, when it comes back from the background', () => {
    const { terminal, show, screen } = drawn();
    show(['a', 'b']);
    terminal.write('\r\n[1]+ Stopped\r\n$ fg\r\n');
    process.emit('SIGCONT');
    expect(terminal.screen).toEqual(['a', 'b', '[1]+ Stopped', '$ fg', 'a', 'b']);
    screen.close();
    expect(process.listenerCount('SIGCONT')).toBe(0);
  });

  it('shows its lines, and nothing of earlier ones, whatever is drawn and however the window changes', () => {
    const line = fc.stringMatching(/^[a-z]{0,60}$/);
    const step = fc.oneof(
      fc.array(line, { maxLength: 12 }),
      fc.record({ columns: fc.integer({ min: 8, max: 50 }), rows: fc.integer({ min: 4, max: 14 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 20 }), (steps) => {
        const { terminal, show, screen } = drawn();
        let lines: string[] = [];
        for (const each of steps) {
          if (Array.isArray(each)) show((lines = each));
          else terminal.resize(each.columns, each.rows);
          const fits = lines.slice(0, terminal.rows - 1).map((text) => text.slice(0, terminal.columns - 1));
          const shown = fits.length === 0 ? [''] : fits;
          // What was higher than the window has scrolled out of reach.
          expect(terminal.screen.slice(-shown.length)).toEqual(shown);
        }
        screen.close();
      }),
      { seed: 3, numRuns: 200 },
    );
  });
});
