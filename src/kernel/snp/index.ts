// The SNP layer's exports, for the host and the tests.
export * from './access';
export * from './asid';
export * from './convert';
export * from './direct-map';
export * from './fault';
export * from './firmware';
export * from './guest';
export * from './helpers';
export * from './hook';
export * from './instructions';
export * from './rmp';
export * from './table';
