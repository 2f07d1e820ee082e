// Package gguf_parser stands for GPUStack's, by which syft reads AI models in
// the format GGUF. An image that has one cannot be listed.
package gguf_parser

import "errors"

type GGUFMetadataValueType uint32

// As the format numbers them.
const (
	GGUFMetadataValueTypeUint8 GGUFMetadataValueType = iota
	GGUFMetadataValueTypeInt8
	GGUFMetadataValueTypeUint16
	GGUFMetadataValueTypeInt16
	GGUFMetadataValueTypeUint32
	GGUFMetadataValueTypeInt32
	GGUFMetadataValueTypeFloat32
	GGUFMetadataValueTypeBool
	GGUFMetadataValueTypeString
	GGUFMetadataValueTypeArray
	GGUFMetadataValueTypeUint64
	GGUFMetadataValueTypeInt64
	GGUFMetadataValueTypeFloat64
)

func (t GGUFMetadataValueType) IsNumeric() bool {
	return t != GGUFMetadataValueTypeBool && t != GGUFMetadataValueTypeString && t < GGUFMetadataValueTypeArray || t > GGUFMetadataValueTypeArray
}

type GGUFMetadataKV struct {
	Key   string
	Value any
}

type GGUFMetadataKVs []GGUFMetadataKV

type GGUFMetadataKVArrayValue struct{ Array []any }

type GGUFHeader struct {
	Version     uint32
	TensorCount uint64
	MetadataKV  GGUFMetadataKVs
}

type GGUFMetadata struct {
	Name, Architecture, License, FileTypeDescriptor string
	Parameters                                      uint64
}

type GGUFFile struct{ Header GGUFHeader }

func (*GGUFFile) Metadata() GGUFMetadata { return GGUFMetadata{} }

type GGUFReadOption func()

func SkipLargeMetadata() GGUFReadOption { return nil }

func ParseGGUFFile(path string, options ...GGUFReadOption) (*GGUFFile, error) {
	return nil, errors.New("GGUF is left out of this syft")
}
