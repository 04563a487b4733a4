// The journal of a file in the making: which items of `NAME.partial` are complete. Append-only records
// with their own checksums; a record that was cut off by a kill is dropped, with all after it.

/// An append-only list of finished items.
final class WriterJournal {
  /// What a record describes.
  enum Kind: UInt8 {
    case file = 1
    case tensor = 2
  }

  /// A finished item, as it will stand in the directory.
  struct Record {
    let kind: Kind
    let payload: [UInt8]
  }

  private static let magic: [UInt8] = Array("IDFXJNL1".utf8)
  private let output: OutputFile
  private var ends: [Int]

  private init(output: OutputFile, ends: [Int]) {
    self.output = output
    self.ends = ends
  }

  /// Opens the journal at `path`; one that is damaged at its start, or was begun with another
  /// identity, is begun anew.
  static func open(
    path: String,
    identity: [UInt8]
  ) throws(WeightFileError) -> (journal: WriterJournal, records: [Record]) {
    let output = try OutputFile(path: path)
    var start = ByteWriter()
    start.append(magic)
    start.append(integer: UInt32(identity.count))
    start.append(identity)
    start.append(integer: XXHash64.hash(start.bytes))
    let file = try InputFile(path: path)
    let limit = IdfxFormat.maximumDirectoryBytes
    let bytes = file.size <= limit ? try file.bytes(at: 0, count: file.size) : []
    guard bytes.starts(with: start.bytes) else {
      try output.truncate(to: 0)
      try output.append(start.bytes)
      return (WriterJournal(output: output, ends: [start.bytes.count]), [])
    }
    var reader = ByteReader(bytes)
    var records: [Record] = []
    var ends = [start.bytes.count]
    _ = try? reader.take(start.bytes.count)
    while let record = Self.record(&reader) {
      records.append(record)
      ends.append(reader.position)
    }
    return (WriterJournal(output: output, ends: ends), records)
  }

  private static func record(_ reader: inout ByteReader) -> Record? {
    guard let kind = Kind(rawValue: (try? reader.integer()) ?? 0),
      let length = try? reader.integer(UInt32.self),
      let payload = try? reader.take(Int(length)),
      let checksum = try? reader.integer(UInt64.self), XXHash64.hash(Array(payload)) == checksum
    else { return nil }
    return Record(kind: kind, payload: Array(payload))
  }

  /// Drops every record after the first `count`.
  func keep(records count: Int) throws(WeightFileError) {
    ends.removeLast(ends.count - 1 - count)
    try output.truncate(to: ends[count])
  }

  /// Adds a record.
  func append(_ record: Record) throws(WeightFileError) {
    var writer = ByteWriter()
    writer.append(integer: record.kind.rawValue)
    writer.append(integer: UInt32(record.payload.count))
    writer.append(record.payload)
    writer.append(integer: XXHash64.hash(record.payload))
    try output.append(writer.bytes)
    ends.append(output.size)
  }
}
