// Replays what the fuzzer found worth keeping: no input may trap, whatever a parser makes of it. And the inputs are
// worth it: of every target's corpus some are accepted and some refused.

import Foundation
import FuzzTargets
import TestSupport
import Testing

@Suite struct CorpusTests {
  @Test(arguments: FuzzTarget.allCases)
  func replays(_ target: FuzzTarget) throws {
    let folder = Fixture.url("corpus/\(target.rawValue)").path
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    let scratch = try ScratchFolder(in: NSTemporaryDirectory())
    var accepted = 0
    for name in names {
      let bytes = try Fixture.bytes("corpus/\(target.rawValue)/\(name)")
      if target.accepts(bytes, scratch: scratch) { accepted += 1 }
    }
    #expect(accepted > 0 && accepted < names.count, "\(accepted) of \(names.count)")
  }
}
