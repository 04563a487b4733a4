// Every metric against values of independent public implementations (Tools/evaluation/make_metric_fixtures.py).

import Evaluation
import Foundation
import TestSupport
import Testing

@Suite struct MetricReferenceTests {
  private func fixture<Value: Decodable>(_ name: String, as type: Value.Type) throws -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(type, from: Data(Fixture.bytes("evaluation/\(name).json")))
  }

  private func isClose(_ a: Double, _ b: Double, tolerance: Double = 1e-9) -> Bool {
    abs(a - b) <= tolerance * max(1, abs(b))
  }

  // MARK: VQA

  private struct VQA: Decodable {
    struct Text: Decodable { var text, normalised: String }
    struct Case: Decodable {
      var answers: [String]
      var answer: String
      var accuracy: Double
    }
    var normalised: [Text]
    var accuracy: [Case]
  }

  @Test func normalisesAnswersAsTheVQAEvaluationDoes() throws {
    let texts = try fixture("vqa", as: VQA.self).normalised
    #expect(texts.count > 200)
    for text in texts {
      #expect(
        VQANormalization.normalized(text.text) == text.normalised,
        "\(text.text.debugDescription)"
      )
    }
  }

  @Test func scoresAnswersAsTheVQAEvaluationDoes() throws {
    for item in try fixture("vqa", as: VQA.self).accuracy {
      let score = VQAAccuracy.score(item.answer, annotations: item.answers)
      #expect(isClose(score, item.accuracy), "\(item)")
    }
  }

  // MARK: captions

  private struct Captions: Decodable {
    struct Tokens: Decodable {
      var caption: String
      var words: [String]
    }
    struct Image: Decodable {
      var references: [String]
      var candidate: String
      var tokens: [String]
      var cider: Double
    }
    var tokens: [Tokens]
    var images: [Image]
    var cider: Double
    var singleImageCider: Double
    var bleu4: Double
    var sacrebleu4: Double
  }

  @Test func splitsCaptionsAsThePennTreebankTokenizerDoes() throws {
    let captions = try fixture("captions", as: Captions.self)
    for item in captions.tokens {
      #expect(CaptionTokenizer.words(of: item.caption) == item.words, "\(item.caption)")
    }
    for image in captions.images {
      #expect(CaptionTokenizer.words(of: image.candidate) == image.tokens, "\(image.candidate)")
    }
  }

  @Test func scoresCaptionsAsTheCOCOEvaluationDoes() throws {
    let captions = try fixture("captions", as: Captions.self)
    let items = captions.images.map { image in
      (
        candidate: CaptionTokenizer.words(of: image.candidate),
        references: image.references.map { CaptionTokenizer.words(of: $0) }
      )
    }
    let scores = CIDErD.scores(items)
    for (score, image) in zip(scores, captions.images) {
      #expect(isClose(score, image.cider), "\(image.candidate)")
    }
    #expect(isClose(scores.reduce(0, +) / Double(scores.count), captions.cider))
    #expect(CIDErD.scores([items[0]]) == [captions.singleImageCider])

    let rows = items.map { BLEUStatistics(candidate: $0.candidate, references: $0.references).row }
    let sums = rows.reduce([Double](repeating: 0, count: 10)) { zip($0, $1).map(+) }
    // pycocoevalcap adds 1e-9 to its denominators, so it agrees less closely than sacrebleu.
    #expect(isClose(BLEUStatistics.score(ofSums: sums), captions.bleu4, tolerance: 1e-8))
    #expect(isClose(BLEUStatistics.score(ofSums: sums), captions.sacrebleu4))
  }

  // MARK: perplexity

  private struct Windows: Decodable {
    struct Window: Decodable { var input, predicted: [Int32] }
    struct Case: Decodable {
      var tokens: [Int32]
      var length: Int
      var windows: [Window]
    }
    struct Words: Decodable {
      var text: String
      var count: Int
    }
    var rolling: [Case]
    var words: [Words]
  }

  @Test func rollsOverDocumentsAsTheHarnessDoes() throws {
    let fixture = try fixture("windows", as: Windows.self)
    for item in fixture.rolling {
      let windows = ScoringWindow.rolling(item.tokens, prefix: 1, length: item.length)
      #expect(windows.map { Array($0.tokens.dropLast()) } == item.windows.map(\.input))
      #expect(
        windows.map { Array($0.tokens.suffix($0.predicted)) } == item.windows.map(\.predicted)
      )
    }
    for item in fixture.words {
      #expect(Perplexity.words(in: item.text) == item.count, "\(item.text.debugDescription)")
    }
  }

  // MARK: divergence

  private struct Divergence: Decodable {
    var reference, candidate: [[Float]]
    var tokens: [Int]
    var divergence: [Double]
    var mean: Double
    var divergencePercentiles, differencePercentiles: [Double]
    var rms, agreement, referencePerplexity, perplexity: Double
  }

  @Test func measuresDivergenceAsTorchAndNumpyDo() throws {
    let fixture = try fixture("divergence", as: Divergence.self)
    let places = fixture.tokens.indices.map {
      TokenDivergence(
        reference: fixture.reference[$0],
        candidate: fixture.candidate[$0],
        token: fixture.tokens[$0]
      )
    }
    for (place, expected) in zip(places, fixture.divergence) {
      #expect(isClose(place.divergence, expected, tolerance: 1e-12))
    }
    let summary = DivergenceSummary(
      items: [Array(places[..<10]), [], Array(places[10...])],
      bootstrap: Bootstrap(replicates: 20)
    )
    #expect(summary.tokens == 24)
    #expect(isClose(summary.meanDivergence.value, fixture.mean))
    let divergences = ["p50", "p90", "p99", "p99.9", "max"].map {
      summary.divergencePercentiles[$0] ?? .nan
    }
    #expect(zip(divergences, fixture.divergencePercentiles).allSatisfy { isClose($0, $1) })
    let differences = ["p1", "p5", "p25", "p50", "p75", "p95", "p99"].map {
      summary.differencePercentiles[$0] ?? .nan
    }
    #expect(zip(differences, fixture.differencePercentiles).allSatisfy { isClose($0, $1) })
    #expect(isClose(summary.rmsDifference.value, fixture.rms))
    #expect(isClose(summary.topAgreement.value, fixture.agreement))
    #expect(isClose(summary.referencePerplexity, fixture.referencePerplexity))
    #expect(isClose(summary.perplexity, fixture.perplexity))
  }

  // MARK: bootstrap

  private struct Interval: Decodable {
    var values, mean, rms: [Double]
  }

  @Test func resamplesAsScipyDoes() throws {
    let fixture = try fixture("bootstrap", as: Interval.self)
    let bootstrap = Bootstrap(replicates: 4000, seed: 5)
    let mean = bootstrap.mean(fixture.values)
    let rms = bootstrap.estimate(fixture.values.map { [$0 * $0, 1] }) {
      ($0[0] / $0[1]).squareRoot()
    }
    // Both ends are themselves estimates; their standard error here is about 0.001.
    #expect(abs(mean.low - fixture.mean[0]) < 0.004 && abs(mean.high - fixture.mean[1]) < 0.004)
    #expect(abs(rms.low - fixture.rms[0]) < 0.004 && abs(rms.high - fixture.rms[1]) < 0.004)
    #expect(bootstrap.mean(fixture.values) == mean)
    #expect(Bootstrap(replicates: 4000, seed: 6).mean(fixture.values) != mean)
  }
}
