// Names that a program of the explorer gives to its objects, for reports.
import { NT_USER } from '../abi/names';
import { nameObject } from '../names';

/** Reports call the word at `address` `text`, those behind it, up to `bytes`, `text+0x4` and so on. @context setup(). `text`: a literal. */
export function name(address: usize, text: string, bytes: usize = 4): void {
  nameObject(address, bytes, NT_USER, 0, <u32>changetype<usize>(text));
}
