// The name table: objects that reports call by name. Entry: {address u32, bytes u32, type u32, parent address u32, index u32, pad x 3}.
export const NAME_SIZE = 32;
export const NAME_ADDRESS = 0;
export const NAME_BYTES = 4;
export const NAME_TYPE = 8;
export const NAME_PARENT = 12;
export const NAME_INDEX = 16;

export const NT_VM = 1; // vm<index>
export const NT_VCPU = 2; // <parent>.vcpu<index>
export const NT_FILE = 3; // file<index>
export const NT_SLOT = 4; // <parent>.slot<index>
export const NT_PARTITION = 5; // partition<index>
export const NT_TASK = 6; // task<index>
export const NT_LOCK = 7; // lock<index>: of a ./shm user
export const NT_KVM_LOCK = 9; // <parent>.<member>, index = lock class
export const NT_RM = 10; // <parent>.rm: the restrictedmem object of a file
export const NT_SHMEM = 11; // <parent>.memfd: its hidden shmem file
export const NT_PROCESS = 12; // process<index>: a VMM's
export const NT_USER = 13; // of a program of the explorer: index = address of a string, its length in bytes in the word before it
