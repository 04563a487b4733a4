// The weights of an .idfx file as a residency plan wants them: pinned ones loaded at once or used in
// place, the others streamed, or decoded when an image needs them. Owns the memory of all. What is used in place
// but seldom is let go after use: the page cache has it if the machine has room.

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
    let isKept = !plan.onDemand.isEmpty
    let streamed = [isKept ? plan.onDemand : plan.imageStream, plan.textStream].map {
      $0.map(\.section)
    }
    var groups: [WeightSection: Int] = [:]
    for (number, section) in streamed.joined().enumerated() { groups[section] = number }
    self.groups = groups
    let names = Self.matrixNames(configuration)
    var groupOfMatrix: [String: Int] = [:]
    for (section, group) in groups {
      for name in names[section] ?? [] { groupOfMatrix[name] = group }
    }
    self.groupOfMatrix = groupOfMatrix
    idle = names.filter { $0.key.isMostlyIdle }.mapValues { $0.compactMap(file.tensor(named:)) }
    loaded = try LoadedTensors(
      Self.loadedTensors(of: file, configuration: configuration, plan: plan),
      of: file,
      threads: threads,
      isCancelled: { cancellation.isRaised }
    )
    let placements = streamed.map { sections in
      sections.map { section in
        TensorPlacement(
          (names[section] ?? []).compactMap(file.tensor(named:)).filter { !file.isInPlace($0) }
        )
      }
    }
    // The thread that runs the model decodes as well while it waits.
    let readers = Self.decodingThreads(of: threads) - 1
    guard !isKept else {
      stream = try TensorStream(keeping: placements[0], of: file, readers: readers)
      return
    }
    guard plan.isStreaming else {
      stream = nil
      return
    }
    stream = try TensorStream(
      placements,
      of: file,
      slots: ResidencyPlan.slots,
      slotBytes: plan.slotBytes,
      readers: readers,
      bypassesPageCache: SystemMemory.availableBytes.map { $0 < plan.storedBytesPerPass } ?? false
    )
  }

  /// The tensors of `file` that are loaded at once under `plan`.
  public static func loadedTensors(
    of file: IdfxFile,
    configuration: Configuration,
    plan: ResidencyPlan
  ) -> [IdfxTensor] {
    let names = matrixNames(configuration)
    let later = plan.imageStream + plan.textStream + plan.onDemand
    let others = Set(later.flatMap { names[$0.section] ?? [] })
    return file.tensors.filter { !others.contains($0.name) && !file.isInPlace($0) }
  }

  private static func matrixNames(_ configuration: Configuration) -> [WeightSection: [String]] {
    var names: [WeightSection: [String]] = [:]
    for (section, matrices) in WeightSection.all(of: configuration) {
      names[section] = matrices.map(\.name)
    }
    return names
  }

  /// Threads that decode streamed weights beside `threads` kernel threads, the one that waits for them
  /// included.
  public static func decodingThreads(of threads: Int) -> Int { max(1, threads / 2) + 1 }

  /// What loading the pinned weights took.
  public var loadStatistics: LoadStatistics { loaded.statistics }

  /// What was read and decoded since, in passes; `nil` when all weights stay.
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

  /// Waits for the matrices of `section` if they are streamed or decoded on demand.
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

  /// Gives the memory of sections that were decoded on demand back to the system.
  public func leaveImages() {
    if !plan.onDemand.isEmpty { stream?.leave() }
  }
}
