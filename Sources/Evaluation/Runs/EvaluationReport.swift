// What an evaluation found: metrics with intervals, and everything needed to know what they are of.

import Idefix

/// The outcome of an evaluation.
public struct EvaluationReport: Sendable, Encodable {
  /// Which model was measured.
  public struct Model: Sendable, Encodable {
    /// File name without extension.
    public var name: String
    /// Fingerprint of the weights and the tokenizer.
    public var fingerprint: String
    /// Recipe of its conversion.
    public var recipe: String

    /// A model.
    public init(name: String, fingerprint: String, recipe: String) {
      self.name = name
      self.fingerprint = fingerprint
      self.recipe = recipe
    }

    /// The model of an engine.
    public init(_ info: ModelInfo) {
      name = info.name
      fingerprint = info.fingerprint
      recipe = info.recipe
    }
  }

  /// One measured value.
  public struct Metric: Sendable {
    /// What is measured.
    public var name: String
    /// The value with its 95 % interval.
    public var estimate: Estimate?
    /// The value, where there is no interval.
    public var value: Double?
    /// Several values under names of their own.
    public var values: [String: Double]?
    /// Whether the value is a share, shown in percent.
    public var isShare = false

    /// A value with its interval.
    public init(_ name: String, _ estimate: Estimate, isShare: Bool = false) {
      self.name = name
      self.estimate = estimate
      self.isShare = isShare
    }

    /// A value.
    public init(_ name: String, _ value: Double) {
      self.name = name
      self.value = value
    }

    /// Several values.
    public init(_ name: String, _ values: [String: Double]) {
      self.name = name
      self.values = values
    }
  }

  /// Name of the evaluation.
  public var evaluation: String
  /// Which model was measured.
  public var model: Model
  /// Files of the data set.
  public var files: [String]
  /// Questions, images, windows.
  public var items: Int
  /// Everything else that decides the results.
  public var settings: [String: String]
  /// What was measured, most important first.
  public var metrics: [Metric] = []
  /// The first metric by group: tag, then value of the tag.
  public var groups: [String: [String: Estimate]] = [:]

  /// A report without metrics yet.
  public init(header: RunHeader, model: Model, files: [String], items: Int) {
    evaluation = header.evaluation
    self.model = model
    self.files = files
    self.items = items
    settings = header.settings
  }

  private enum Key: String, CodingKey {
    case evaluation, model, files, items, settings, metrics, groups
  }

  private struct Name: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// Metrics by name: `{value, low, high}`, a number, or an object of numbers.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(evaluation, forKey: .evaluation)
    try container.encode(model, forKey: .model)
    try container.encode(files, forKey: .files)
    try container.encode(items, forKey: .items)
    try container.encode(settings, forKey: .settings)
    var measured = container.nestedContainer(keyedBy: Name.self, forKey: .metrics)
    for metric in metrics {
      if let estimate = metric.estimate { try measured.encode(estimate, forKey: Name(metric.name)) }
      if let value = metric.value { try measured.encode(value, forKey: Name(metric.name)) }
      if let values = metric.values { try measured.encode(values, forKey: Name(metric.name)) }
    }
    if !groups.isEmpty { try container.encode(groups, forKey: .groups) }
  }
}
