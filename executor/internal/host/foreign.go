package host

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ForeignError is a platform whose programs this machine does not run.
type ForeignError struct {
	Platform v1.Platform
	Err      error // what the kernel said
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("this machine runs no programs for %s: %v", e.Platform, e.Err)
}

func (e *ForeignError) Unwrap() error { return e.Err }

// Hint says how such a command can be run.
func (e *ForeignError) Hint() string {
	return "build it on a machine of that platform and join the images with executor index, cross-compile in a stage with FROM --platform=$BUILDPLATFORM, " +
		"or register an emulator with binfmt_misc, with the flag F (Debian: qemu-user-static)"
}

// ExitCode is that of a machine that does not allow what was asked for.
func (*ForeignError) ExitCode() int { return 78 }

// machine is what a program for an architecture is like: its header, and instructions
// that end it with status 0.
type machine struct {
	elf   elf.Machine
	class elf.Class
	order binary.AppendByteOrder
	flags uint32
	code  []byte
}

// machines are those of Linux images, by Go's names of architectures.
func machines() map[string]machine {
	little := func(words ...uint32) (code []byte) {
		for _, w := range words {
			code = binary.LittleEndian.AppendUint32(code, w)
		}
		return code
	}
	const eabi5, elfv2 = 0x05000000, 2
	return map[string]machine{
		// xor edi,edi; mov eax,60; syscall
		"amd64": {elf.EM_X86_64, elf.ELFCLASS64, binary.LittleEndian, 0, []byte{0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05}},
		// xor ebx,ebx; mov eax,1; int 0x80
		"386": {elf.EM_386, elf.ELFCLASS32, binary.LittleEndian, 0, []byte{0x31, 0xdb, 0xb8, 1, 0, 0, 0, 0xcd, 0x80}},
		// mov x0,#0; mov x8,#93; svc #0
		"arm64": {elf.EM_AARCH64, elf.ELFCLASS64, binary.LittleEndian, 0, little(0xd2800000, 0xd2800ba8, 0xd4000001)},
		// mov r0,#0; mov r7,#1; svc #0
		"arm": {elf.EM_ARM, elf.ELFCLASS32, binary.LittleEndian, eabi5, little(0xe3a00000, 0xe3a07001, 0xef000000)},
		// li a0,0; li a7,93; ecall
		"riscv64": {elf.EM_RISCV, elf.ELFCLASS64, binary.LittleEndian, 0, little(0x00000513, 0x05d00893, 0x00000073)},
		// li r0,1; li r3,0; sc
		"ppc64le": {elf.EM_PPC64, elf.ELFCLASS64, binary.LittleEndian, elfv2, little(0x38000001, 0x38600000, 0x44000002)},
		// lghi %r2,0; svc 1
		"s390x": {elf.EM_S390, elf.ELFCLASS64, binary.BigEndian, 0, []byte{0xa7, 0x29, 0, 0, 0x0a, 0x01}},
	}
}

// program is an executable of one segment that does nothing and succeeds.
func (m machine) program() ([]byte, error) {
	const base = 0x10000
	ident := [elf.EI_NIDENT]byte{
		elf.EI_CLASS: byte(m.class), elf.EI_DATA: byte(elf.ELFDATA2LSB), elf.EI_VERSION: byte(elf.EV_CURRENT),
	}
	copy(ident[:], elf.ELFMAG)
	var order binary.ByteOrder = binary.LittleEndian
	if m.order == binary.AppendByteOrder(binary.BigEndian) {
		ident[elf.EI_DATA], order = byte(elf.ELFDATA2MSB), binary.BigEndian
	}
	var header, segment any
	if m.class == elf.ELFCLASS64 {
		h := elf.Header64{
			Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(m.elf), Version: uint32(elf.EV_CURRENT), Flags: m.flags,
			Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Entry: base + 64 + 56,
		}
		size := uint64(64 + 56 + len(m.code))
		header, segment = h, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: base}
	} else {
		h := elf.Header32{
			Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(m.elf), Version: uint32(elf.EV_CURRENT), Flags: m.flags,
			Phoff: 52, Ehsize: 52, Phentsize: 32, Phnum: 1, Entry: base + 52 + 32,
		}
		size := uint32(52 + 32 + len(m.code))
		header, segment = h, elf.Prog32{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: base}
	}
	var b bytes.Buffer
	for _, part := range []any{header, segment, m.code} {
		if err := binary.Write(&b, order, part); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
