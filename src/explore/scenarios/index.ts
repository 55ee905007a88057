// All scenarios that come with the project, by name.
import type { Scenario } from '../scenario.js';
import { ALLOCATOR_SCENARIOS } from './allocator.js';
import { PROTOCOL_SCENARIOS } from './protocol.js';

export const SCENARIOS: readonly Scenario[] = [...PROTOCOL_SCENARIOS, ...ALLOCATOR_SCENARIOS];
