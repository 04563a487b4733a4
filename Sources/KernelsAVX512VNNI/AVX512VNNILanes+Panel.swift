// Products of many tokens with AVX-512: two row tiles with six tokens are twelve chains of dot products, enough
// for processors that begin two in a cycle, and twelve totals; with the weights at hand that fills the registers.

import KernelCore

extension AVX512VNNILanes {
  @inline(__always)
  static var panelTokens: Int { 31 }

  @inline(__always)
  static var panelUnit: Int { 6 }

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
