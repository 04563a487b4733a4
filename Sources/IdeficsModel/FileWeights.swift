// The weights of an .idfx file as a residency plan wants them: pinned ones loaded at once or used in
// place, the others streamed. Owns the memory of both. What is used in place but seldom is let go after
// use: the page cache has it if the machine has room.

import Tensors
import WeightFiles

/// Weights of a file under a plan.
public final class FileWeights: WeightSource {
  /// What stays in memory and what does not.
  public let plan: ResidencyPlan
  private let file: IdfxFile
  private let loaded: LoadedTensors
  private let stream: TensorStream?
  /// Number in the stream of every streamed section.
  private let groups: [WeightSection: Int]
  /// Number in the stream of every streamed matrix.
  private let groupOfMatrix: [String: Int]
  /// What may lie in place of every section that most passes do not need.
  private let idle: [WeightSection: [IdfxTensor]]

  /// Loads what the plan pins, with up to `threads` threads, and sets up the stream of the rest.
  ///
  /// Matrices that lie raw in a mapped file are used in place: reading them is left to whoever first
  /// computes with them. Raising `cancellation` stops loading after the blocks at hand.
  public init(
    _ file: IdfxFile,
    configuration: Configuration,
    plan: ResidencyPlan,
    threads: Int,
    cancellation: CancellationFlag = CancellationFlag()
  ) throws(WeightFileError) {
    self.file = file
    self.plan = plan
    let streamed = [plan.imageStream, plan.textStream].map { $0.map(\.section) }
    var groups: [WeightSection: Int] = [:]
    for (number, section) in streamed.joined().enumerated() { groups[section] = number }
    self.groups = groups
    var names: [WeightSection: [String]] = [:]
    for (section, matrices) in WeightSection.all(of: configuration) {
      names[section] = matrices.map(\.name)
    }
    var groupOfMatrix: [String: Int] = [:]
    for (section, group) in groups {
      for name in names[section] ?? [] { groupOfMatrix[name] = group }
    }
    self.groupOfMatrix = groupOfMatrix
    idle = names.filter { $0.key.isMostlyIdle }.mapValues { $0.compactMap(file.tensor(named:)) }
    loaded = try LoadedTensors(
      file.tensors.filter { groupOfMatrix[$0.name] == nil && !file.isInPlace($0) },
      of: file,
      threads: threads,
      isCancelled: { cancellation.isRaised }
    )
    guard plan.isStreaming else {
      stream = nil
      return
    }
    let placements = streamed.map { sections in
      sections.map { section in
        TensorPlacement((names[section] ?? []).compactMap { file.tensor(named: $0) })
      }
    }
    stream = try TensorStream(
      placements,
      of: file,
      slots: ResidencyPlan.slots,
      slotBytes: plan.slotBytes,
      // The thread that runs the model decodes as well while it waits.
      readers: Self.decodingThreads(of: threads) - 1,
      bypassesPageCache: SystemMemory.availableBytes.map { $0 < plan.storedBytesPerPass } ?? false
    )
  }

  /// Threads that decode streamed weights beside `threads` kernel threads, the one that waits for them
  /// included.
  public static func decodingThreads(of threads: Int) -> Int { max(1, threads / 2) + 1 }

  /// What loading the pinned weights took.
  public var loadStatistics: LoadStatistics { loaded.statistics }

  /// What was read and decoded since, in passes; `nil` when nothing is streamed.
  public var streamStatistics: LoadStatistics? { stream?.statistics }

  /// The packed matrix called `name`: its bytes count while its section is acquired.
  public func packed(_ name: String) throws(WeightFileError) -> PackedMatrix {
    guard let tensor = file.tensor(named: name), case .packed = tensor.storage else {
      throw .noSuchTensor(path: file.path, tensor: name)
    }
    if file.isInPlace(tensor) { return try file.packed(name) }
    let matrix =
      if let group = groupOfMatrix[name] {
        stream?.packed(name, group: group)
      } else {
        loaded.packed(name)
      }
    guard let matrix else {
      throw .badTensor(path: file.path, tensor: name, reason: "does not fit its layout")
    }
    return matrix
  }

  /// The dense tensor called `name`.
  public func dense(_ name: String) throws(WeightFileError) -> DenseTensor {
    guard let tensor = file.tensor(named: name), case .dense = tensor.storage else {
      throw .noSuchTensor(path: file.path, tensor: name)
    }
    if file.isInPlace(tensor) { return try file.dense(name) }
    guard let dense = loaded.dense(name) else {
      throw .badTensor(path: file.path, tensor: name, reason: "does not fit its shape")
    }
    return dense
  }

  /// Whether the file has a tensor called `name`.
  public func contains(_ name: String) -> Bool { file.contains(name) }

  /// Extents of the tensor called `name`, or `nil`.
  public func shape(of name: String) -> Shape? { file.shape(of: name) }

  /// Waits for the matrices of `section` if they are streamed.
  public func acquire(_ section: WeightSection) throws(ModelError) {
    guard let group = groups[section], let stream else { return }
    do { try stream.acquire(group) } catch { throw .weights(error) }
  }

  /// Lets the memory of `section` be used for another one if it is streamed, or for anything if its bytes are used in
  /// place and the next pass hardly needs them.
  public func release(_ section: WeightSection) {
    if let group = groups[section] { stream?.release(group) }
    for tensor in idle[section] ?? [] { file.leave(tensor) }
  }
}
