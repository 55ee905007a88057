// The protocols by which a host takes private memory back: names as profiles and scenarios have them, and the kernel's numbers.
import { PROTOCOL_GUEST_MEMFD, PROTOCOL_RFC_V7, PROTOCOL_RFC_V8 } from '../kernel/abi/layout.js';

export const PROTOCOLS = ['rfc-v7', 'rfc-v8', 'guest-memfd'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

const CODES: Record<Protocol, number> = {
  'rfc-v7': PROTOCOL_RFC_V7,
  'rfc-v8': PROTOCOL_RFC_V8,
  'guest-memfd': PROTOCOL_GUEST_MEMFD,
};

/** The kernel's number of a protocol, as SH_PROTOCOL has it. */
export const protocolCode = (protocol: Protocol): number => CODES[protocol];
