// Products of many tokens with AVX-VNNI: both halves of a row tile with three tokens are six chains of dot products
// and six totals; with the weights at hand that fills the registers.

import KernelCore

extension AVXVNNILanes {
  @inline(__always)
  static var panelTokens: Int { 11 }

  @inline(__always)
  static var panelUnit: Int { 3 }

  @inline(__always)
  static var hasEvenPanels: Bool { true }

  @inline(__always)
  static func fillPanel(
    _ a: LinearArguments,
    _ source: PanelSource,
    _ panel: UnsafeMutableRawPointer
  ) {
    fillUnpackedPanel(Self.self, a, source, panel)
  }

  @inline(__always)
  static func multiplyPanel(
    _ a: LinearArguments,
    _ source: PanelSource,
    _ tokens: PanelTokens,
    _ ahead: PanelAhead
  ) {
    multiplyUnpackedPanel(Self.self, a, source, tokens, ahead)
  }
}
