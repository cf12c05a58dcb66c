package cache

import "github.com/google/go-containerregistry/pkg/v1/types"

// What is in a cache is OCI image manifests (OCI image spec 1.1, manifest.md,
// "Guidelines for artifact usage"), so that any registry keeps them and any
// registry's tools show them.
//
// An entry is under the tag that is its key. Its config is the definition's text,
// whose digest therefore is the key's; its first layer is what the step did to
// files, or the empty descriptor if that is nothing; a further one is the index.
// A journal is under one tag of its own and under some that move; its config is the
// [Journal] in JSON, and its only layer the empty descriptor. All else that is to
// be known of one without fetching a blob is in the manifest's annotations.
const (
	// DefinitionType is the media type of an entry's config: a
	// [cachekey.Definition].
	DefinitionType types.MediaType = "application/vnd.kaniko.cache.definition.v1+text"
	// IndexType is the media type of an index, as package layer writes it.
	IndexType types.MediaType = "application/vnd.kaniko.cache.index.v1+zstd"
	// JournalType is the media type of a journal's config: a [Journal] in JSON.
	JournalType types.MediaType = "application/vnd.kaniko.cache.journal.v1+json"
)

// Annotations of the manifests of entries and journals. Those that do not apply are
// left out.
const (
	// AnnotationKind is what the manifest is: [KindEntry] or [KindJournal]. What
	// has no such annotation is not of a cache.
	AnnotationKind = "dev.kaniko.cache.kind"
	// AnnotationKey is an entry's key: 64 lower-case hexadecimal digits. It makes
	// manifests of different keys differ, so that deleting one by its digest deletes
	// no other.
	AnnotationKey = "dev.kaniko.cache.key"
	// AnnotationParent is the key of the step before; entries of a stage's first
	// step have none.
	AnnotationParent = "dev.kaniko.cache.parent"
	// AnnotationLineage tells which builds belong together; see [Journal.Lineage].
	AnnotationLineage = "dev.kaniko.cache.lineage"
	// AnnotationCreated is when the entry was made or the build ended: RFC 3339, in
	// UTC, in whole seconds.
	AnnotationCreated = "dev.kaniko.cache.created"
	// AnnotationSize is how many bytes all blobs of the manifest have, in decimal.
	AnnotationSize = "dev.kaniko.cache.size"
	// AnnotationDiffID is the digest of an entry's layer uncompressed. The index's
	// descriptor has it too, to tell which layer it is of.
	AnnotationDiffID = "dev.kaniko.cache.diff-id"
	// AnnotationAfter is [Result.After], a SHA-256 in hexadecimal.
	AnnotationAfter = "dev.kaniko.cache.after"
	// AnnotationText is the beginning of the instruction, on one line.
	AnnotationText = "dev.kaniko.cache.text"
	// AnnotationTool is name and version of what wrote the manifest.
	AnnotationTool = "dev.kaniko.cache.tool"
	// AnnotationImage is the digest of the image that the journal's build made.
	AnnotationImage = "dev.kaniko.cache.image"

	// annotationOCICreated is what other tools look at; it is as AnnotationCreated.
	annotationOCICreated = "org.opencontainers.image.created"
)

// Values of [AnnotationKind].
const (
	KindEntry   = "entry"
	KindJournal = "journal"
)

// Tags of journals; those of entries are their keys.
const (
	// JournalPrefix begins the tag that is one journal's for ever. The build's end
	// follows, such as 20261123T160000Z, and eight random hexadecimal digits.
	JournalPrefix = "journal-"
	// LastPrefix begins the tag of a lineage's last journal. The lineage follows.
	LastPrefix = "last-"
	// ImagePrefix begins the tag of the journal of the build that made an image. The
	// digits of the image's digest follow.
	ImagePrefix = "image-"
)

// Bounds of what is read whole, in bytes.
const (
	// maxManifest is many times what a manifest of ours has.
	maxManifest = 256 << 10
	// maxDefinition lets a definition list some hundred thousand files.
	maxDefinition = 64 << 20
	// maxIndex lets an index have some million files. A larger one is not kept:
	// readers do without.
	maxIndex = 64 << 20
	// maxJournal lets a journal have some thousand steps.
	maxJournal = 8 << 20
	// maxText is what is kept of an instruction in annotations and journals.
	maxText = 200
)
