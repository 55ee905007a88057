// The catalogue: every bug that can be run, in the order of the numbers.
import { B01 } from './b01.js';
import { B02 } from './b02.js';
import { B03 } from './b03.js';
import { B04 } from './b04.js';
import { B05 } from './b05.js';
import { B06 } from './b06.js';
import { B07 } from './b07.js';
import { B08 } from './b08.js';
import { B09 } from './b09.js';
import { B10 } from './b10.js';
import { B11 } from './b11.js';
import { B12 } from './b12.js';
import { B13 } from './b13.js';
import { B14 } from './b14.js';
import { B15 } from './b15.js';
import { B16 } from './b16.js';
import { B17 } from './b17.js';
import { B18 } from './b18.js';
import { B20 } from './b20.js';
import { B22 } from './b22.js';
import { B23 } from './b23.js';
import { B24 } from './b24.js';
import { B25 } from './b25.js';
import { B26 } from './b26.js';
import { B27 } from './b27.js';
import { B28 } from './b28.js';
import { B29 } from './b29.js';
import { B30 } from './b30.js';
import { B31 } from './b31.js';
import { B32 } from './b32.js';
import { B33 } from './b33.js';
import { B34 } from './b34.js';
import { B36 } from './b36.js';
import { B39 } from './b39.js';
import { B40 } from './b40.js';
import { B41 } from './b41.js';
import { B43 } from './b43.js';
import { B44 } from './b44.js';
import { B45 } from './b45.js';
import { B46 } from './b46.js';
import { B47 } from './b47.js';
import { B48 } from './b48.js';
import { B49 } from './b49.js';
import { B50 } from './b50.js';
import { B52 } from './b52.js';
import { B53 } from './b53.js';
import { B54 } from './b54.js';
import { B55 } from './b55.js';
import { B56 } from './b56.js';
import { B58 } from './b58.js';
import { B59 } from './b59.js';
import { B60 } from './b60.js';
import { B61 } from './b61.js';
import type { Bug } from './bug.js';

export const BUGS: readonly Bug[] = [
  B01,
  B02,
  B03,
  B04,
  B05,
  B06,
  B07,
  B08,
  B09,
  B10,
  B11,
  B12,
  B13,
  B14,
  B15,
  B16,
  B17,
  B18,
  B20,
  B22,
  B23,
  B24,
  B25,
  B26,
  B27,
  B28,
  B29,
  B30,
  B31,
  B32,
  B33,
  B34,
  B36,
  B39,
  B40,
  B41,
  B43,
  B44,
  B45,
  B46,
  B47,
  B48,
  B49,
  B50,
  B52,
  B53,
  B54,
  B55,
  B56,
  B58,
  B59,
  B60,
  B61,
];
