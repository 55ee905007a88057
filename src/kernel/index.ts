// Everything the host and the tests can call: the exports of the Wasm module.
export { setCurrent, randomU32, nowNs, checkStop } from './point';
export { bootKernel } from './boot';
export * from './task';
export * from './heap';
export * from './names';
export * from './sync/index';
export * from './mm/xarray';
