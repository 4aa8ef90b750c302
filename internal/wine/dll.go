package main

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
)

// forwardingDLL is a library for 64-bit Windows that has one function, which is
// that of another library (target is library.function). It has no code: the
// loader follows an export that is a name.
func forwardingDLL(library, function, target string) []byte {
	const (
		headers = 0x200  // size of the headers, and where the section is in the file
		section = 0x1000 // where the section is in memory
	)
	type exportDirectory struct {
		Flags, Time, Version              uint32
		Name, Base, Functions, Names      uint32
		AddressTable, NameTable, Ordinals uint32
	}
	type exports struct {
		exportDirectory
		Address, NameAddress uint32
		Ordinal              uint16
	}
	texts := uint32(section + binary.Size(exports{}))
	libraryAt := texts
	functionAt := libraryAt + uint32(len(library)) + 1
	targetAt := functionAt + uint32(len(function)) + 1

	var data bytes.Buffer
	write(&data, exports{
		exportDirectory: exportDirectory{
			Name: libraryAt, Base: 1, Functions: 1, Names: 1,
			AddressTable: section + 40, NameTable: section + 44, Ordinals: section + 48,
		},
		Address:     targetAt, // within the export directory: a forward
		NameAddress: functionAt,
	})
	data.WriteString(library + "\x00" + function + "\x00" + target + "\x00")
	size := uint32(data.Len())

	optional := pe.OptionalHeader64{
		Magic:                 0x20b,
		SizeOfInitializedData: headers,
		ImageBase:             0x180000000,
		SectionAlignment:      section, FileAlignment: headers,
		MajorOperatingSystemVersion: 6, MajorSubsystemVersion: 6,
		SizeOfImage:         2 * section,
		SizeOfHeaders:       headers,
		Subsystem:           pe.IMAGE_SUBSYSTEM_WINDOWS_CUI,
		DllCharacteristics:  pe.IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE | pe.IMAGE_DLLCHARACTERISTICS_NX_COMPAT,
		NumberOfRvaAndSizes: 16,
	}
	optional.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_EXPORT] = pe.DataDirectory{VirtualAddress: section, Size: size}

	var image bytes.Buffer
	dos := make([]byte, 64)
	copy(dos, "MZ")
	dos[60] = 64 // where the rest is
	image.Write(dos)
	image.WriteString("PE\x00\x00")
	write(&image, pe.FileHeader{
		Machine:              pe.IMAGE_FILE_MACHINE_AMD64,
		NumberOfSections:     1,
		SizeOfOptionalHeader: uint16(binary.Size(optional)),
		Characteristics:      pe.IMAGE_FILE_EXECUTABLE_IMAGE | pe.IMAGE_FILE_LARGE_ADDRESS_AWARE | pe.IMAGE_FILE_DLL,
	})
	write(&image, optional)
	write(&image, pe.SectionHeader32{
		Name:           [8]uint8{'.', 'e', 'd', 'a', 't', 'a'},
		VirtualSize:    size,
		VirtualAddress: section,
		SizeOfRawData:  headers, PointerToRawData: headers,
		Characteristics: pe.IMAGE_SCN_CNT_INITIALIZED_DATA | pe.IMAGE_SCN_MEM_READ,
	})
	image.Write(make([]byte, headers-image.Len()))
	image.Write(data.Bytes())
	image.Write(make([]byte, 2*headers-image.Len()))
	return image.Bytes()
}

// write appends what has a fixed size, which is why it cannot fail.
func write(b *bytes.Buffer, value any) {
	if err := binary.Write(b, binary.LittleEndian, value); err != nil {
		panic(err)
	}
}
