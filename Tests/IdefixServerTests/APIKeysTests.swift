import IdefixServer
import Testing

@Suite struct APIKeysTests {
  /// State that the operator loads for everybody is loaded under the names that requests come with.
  @Test func everyKeyHasATenantOfItsOwn() {
    let keys = APIKeys(keys: ["first", "second"])
    #expect(keys.tenants == ["first", "second"].map { keys.tenant(of: $0) ?? "" })
    #expect(Set(keys.tenants).count == 2 && !keys.tenants.contains(""))
    #expect(APIKeys().tenants == [""])
  }
}
