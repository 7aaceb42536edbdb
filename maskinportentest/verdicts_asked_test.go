package maskinportentest_test

import (
	"strings"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

func scopeVerdicts() []verdict {
	scope := func(v any) func(*raw) { return set("scope", v) }
	return []verdict{
		{"two scopes", grantClaims, scope("bank:saldo bank:lan"), "ok", ""},
		{"ten scopes", grantClaims, scope("a:0 a:1 a:2 a:3 a:4 a:5 a:6 a:7 a:8 a:9"), "ok", ""},
		{"a scope with slashes", grantClaims, scope("nav:aareg/v1/arbeidsforhold/otp"), "ok", ""},
		{"the same scope twice", undecided, scope("bank:saldo bank:saldo"), "ok", ""},
		{"no scope", grantClaims, drop("scope"), "MP-011", ""},
		{"scope empty", errorsPage, scope(""), "MP-011", ""},
		{"scope a blank", errorsPage, scope(" "), "MP-011", ""},
		{"scope null", errorsPage, scope(nil), "MP-011", ""},
		{"scope a number", errorsPage, scope(1), "MP-011", ""},
		{"scope an array", errorsPage, scope(list{"bank:saldo"}), "MP-011", ""},
		{"scope with a line break", errorsPage, scope("bank:saldo\n"), "MP-011", ""},
		{"scope with a tab", errorsPage, scope("bank:saldo\tbank:lan"), "MP-011", ""},
		{"scope with a blank in front", errorsPage, scope(" bank:saldo"), "MP-011", ""},
		{"two blanks between scopes", errorsPage, scope("bank:saldo  bank:lan"), "MP-011", ""},
		{"scope in quotes", errorsPage, scope(`"bank:saldo"`), "MP-011", ""},
		{"scope with a letter beyond ASCII", errorsPage, scope("bank:lån"), "MP-011", ""},
		{"scope with a no-break space", errorsPage, scope("bank:saldo\u00a0bank:lan"), "MP-011", ""},
	}
}

func consumerVerdicts() []verdict {
	consumer := func(v any) func(*raw) { return set("consumer_org", v) }
	behalf := func(v any) func(*raw) { return set("iss_onbehalfof", v) }
	return []verdict{
		{"a consumer", grantConsumer, consumer(otherOrg), "ok", ""},
		{"eight digits", grantConsumer, consumer("31336700"), "MP-011", ""},
		{"ten digits", grantConsumer, consumer("3133670020"), "MP-011", ""},
		{"eleven digits, a person", grantConsumer, consumer("25922947409"), "MP-011", ""},
		{"with blanks", grantConsumer, consumer("313 367 002"), "MP-011", ""},
		{"with a line break", grantConsumer, consumer(otherOrg + "\n"), "MP-011", ""},
		{"in ISO form", grantConsumer, consumer("0192:" + otherOrg), "MP-011", ""},
		{"in a certificate's form", grantConsumer, consumer("NTRNO-" + otherOrg), "MP-011", ""},
		{"a number", grantConsumer, consumer(313367002), "MP-011", ""},
		{"an object", grantConsumer, consumer(dict{"ID": "0192:" + otherOrg}), "MP-011", ""},
		{"an empty consumer", grantConsumer, consumer(""), "MP-011", ""},
		{"a null consumer", grantConsumer, consumer(nil), "MP-011", ""},
		{"the famous 123456789", modulus11, consumer("123456789"), "MP-011", ""},
		{"the famous 987654321", modulus11, consumer("987654321"), "MP-011", ""},
		{"the client's own organisation", errorsPage, consumer(maskinportentest.DefaultOrgNumber), "MP-011", ""},
		{"consumer_org and iss_onbehalfof", grantClaims, both(consumer(otherOrg), behalf(otherOrg)), "MP-011", ""},
		{"on behalf of an organisation", grantClaims, behalf(otherOrg), "ok", ""},
		{"on behalf of a registered id", grantClaims, both(issuedBy("mapped"), behalf("kunde-1")), "ok", ""},
		{"on behalf of another id", grantClaims, both(issuedBy("mapped"), behalf("kunde-2")), "MP-011", ""},
		{"on behalf of an organisation, where ids are registered", undecided, both(issuedBy("mapped"), behalf(otherOrg)), "MP-011", ""},
		{"on behalf of nobody", grantClaims, behalf("nobody"), "MP-011", ""},
		{"on behalf of a number", grantClaims, behalf(1), "MP-011", ""},
	}
}

func resourceVerdicts() []verdict {
	resource := func(v any) func(*raw) { return set("resource", v) }
	pid := func(v any) func(*raw) { return set("pid", v) }
	return []verdict{
		{"one resource", grantResource, resource(list{"https://api.bank.example/v1"}), "ok", ""},
		{"two resources", grantResource, resource(list{"https://api.bank.example", "https://b.example"}), "ok", ""},
		{"a URN", grantResource, resource(list{"urn:bank:api"}), "ok", ""},
		{"a resource as a string", deployedNotes, resource("https://api.bank.example"), "MP-011", "ok"},
		{"a bad resource as a string", grantResource, resource("api"), "MP-011", ""},
		{"no resources", grantResource, resource(list{}), "MP-011", ""},
		{"a relative resource", grantResource, resource(list{"/api"}), "MP-011", ""},
		{"a bare name", undecided, resource(list{"api.bank.example"}), "MP-011", ""},
		{"a resource with a fragment", "RFC 8707 §2: no fragment", resource(list{"https://api.bank.example/#a"}), "MP-011", ""},
		{"a resource with an empty fragment", "RFC 8707 §2: no fragment", resource(list{"https://api.bank.example/#"}), "MP-011", ""},
		{"a resource with a blank", grantResource, resource(list{"https://api.bank.example/a b"}), "MP-011", ""},
		{"an empty resource", grantResource, resource(list{""}), "MP-011", ""},
		{"a resource a number", grantResource, resource(list{1}), "MP-011", ""},
		{"a resource an object", grantResource, resource(dict{}), "MP-011", ""},
		{"a null resource", grantResource, resource(nil), "MP-011", ""},
		{"a person", grantClaims, pid("25922947409"), "ok", ""},
		{"ten digits for a person", grantClaims, pid("2592294740"), "MP-011", ""},
		{"twelve digits for a person", grantClaims, pid("259229474090"), "MP-011", ""},
		{"a person with a blank", grantClaims, pid("259229 47409"), "MP-011", ""},
		{"a person a number", grantClaims, pid(int64(25922947409)), "MP-011", ""},
		{"an empty person", grantClaims, pid(""), "MP-011", ""},
		{"a null person", grantClaims, pid(nil), "MP-011", ""},
		{"a person as a URN", grantClaims, pid(givenBy), "MP-011", ""},
	}
}

func systemUserVerdicts() []verdict {
	all := func(v any) func(*raw) { return set("authorization_details", v) }
	one := func(v any) func(*raw) { return all(list{v}) }
	user := func(name string, value any) func(*raw) { return one(with(systemUserOf(otherOrg), name, value)) }
	owner := func(v any) func(*raw) { return user("systemuser_org", v) }
	return []verdict{
		{"a systembruker", details9396, one(systemUserOf(otherOrg)), "ok", ""},
		{"with a reference", details9396, user("externalRef", "avd_Ø-1"), "ok", ""},
		{"with another reference", errorsPage, user("externalRef", "avd-2"), "MP-303", ""},
		{"of an organisation without one", errorsPage, one(systemUserOf("910753614")), "MP-303", ""},
		{"for another client", errorsPage, one(systemUserOf(thirdOrg)), "MP-303", ""},
		{"for this client", details9396, both(issuedBy("narrow"), set("scope", "bank:lan"), one(systemUserOf(thirdOrg))), "ok", ""},
		{"details an object", details9396, all(systemUserOf(otherOrg)), "MP-303", ""},
		{"details a string", details9396, all("x"), "MP-303", ""},
		{"details null", details9396, all(nil), "MP-303", ""},
		{"details empty", details9396, all(list{}), "MP-303", ""},
		{"two parties", details9396, all(list{systemUserOf(otherOrg), systemUserOf(otherOrg)}), "MP-303", ""},
		{"a detail that is a string", details9396, one("x"), "MP-303", ""},
		{"a detail that is null", details9396, one(nil), "MP-303", ""},
		{"no type", errorsPage, one(dict{"systemuser_org": dict{}}), "MP-301", ""},
		{"another type", errorsPage, one(dict{"type": "urn:altinn:resource"}), "MP-301", ""},
		{"a type in capitals", errorsPage, one(dict{"type": "URN:ALTINN:SYSTEMUSER"}), "MP-301", ""},
		{"a type a number", errorsPage, one(dict{"type": 1}), "MP-301", ""},
		{"a misspelt field", errorsPage, user("external_ref", "x"), "MP-302", ""},
		{"a field in other letters", errorsPage, user("externalref", "x"), "MP-302", ""},
		{"system_id in the grant", errorsPage, user("system_id", "x"), "MP-302", ""},
		{"a field too many in the owner", errorsPage, owner(dict{"authority": "iso6523-actorid-upis", "ID": "0192:" + otherOrg, "name": "x"}), "MP-302", ""},
		{"id for ID in the owner", errorsPage, owner(dict{"authority": "iso6523-actorid-upis", "id": "0192:" + otherOrg}), "MP-302", ""},
		{"no owner", details9396, one(dict{"type": "urn:altinn:systemuser"}), "MP-303", ""},
		{"an owner a string", details9396, owner(otherOrg), "MP-303", ""},
		{"no authority", details9396, owner(dict{"ID": "0192:" + otherOrg}), "MP-303", ""},
		{"another authority", details9396, owner(dict{"authority": "brreg", "ID": "0192:" + otherOrg}), "MP-303", ""},
		{"no ID", details9396, owner(dict{"authority": "iso6523-actorid-upis"}), "MP-303", ""},
		{"a bare ID", details9396, owner(dict{"authority": "iso6523-actorid-upis", "ID": otherOrg}), "MP-303", ""},
		{"a Swedish ID", details9396, owner(dict{"authority": "iso6523-actorid-upis", "ID": "0007:" + otherOrg}), "MP-303", ""},
		{"an ID a number", details9396, owner(dict{"authority": "iso6523-actorid-upis", "ID": 313367002}), "MP-303", ""},
		{"an owner that is no organisation", modulus11, one(systemUserOf("987654321")), "MP-303", ""},
		{"a reference with a blank", details9396, user("externalRef", "a b"), "MP-303", ""},
		{"a reference with a dot", details9396, user("externalRef", "a.b"), "MP-303", ""},
		{"a reference of 256", details9396, user("externalRef", strings.Repeat("a", 256)), "MP-303", ""},
		{"a reference of 255 that nobody has", errorsPage, user("externalRef", strings.Repeat("å", 255)), "MP-303", ""},
		{"a reference a number", details9396, user("externalRef", 1), "MP-303", ""},
		{"a null reference", details9396, user("externalRef", nil), "MP-303", ""},
	}
}

func consentVerdicts() []verdict {
	consent := func(id, from any) func(*raw) {
		return set("authorization_details", list{dict{"type": "urn:altinn:consent", "id": id, "from": from}})
	}
	organisationURN := "urn:altinn:organization:identifier-no:"
	return []verdict{
		{"a consent", consentPage, consent(givenConsent, givenBy), "ok", ""},
		{"a consent's id in capitals", undecided, consent(strings.ToUpper(givenConsent), givenBy), "ok", ""},
		{"a consent of another person", consentPage, consent(givenConsent, "urn:altinn:person:identifier-no:11111111111"), "MP-303", ""},
		{"a consent never given", consentPage, consent("00000000-0000-4000-8000-000000000000", givenBy), "MP-303", ""},
		{"a consent that is over", consentPage, consent(overConsent, organisationURN+otherOrg), "MP-303", ""},
		{"a consent to another", consentPage, both(consent(givenConsent, givenBy), set("consumer_org", otherOrg)), "MP-303", ""},
		{"an id that is no UUID", consentPage, consent("1234", givenBy), "MP-303", ""},
		{"an id without hyphens", consentPage, consent(strings.ReplaceAll(givenConsent, "-", ""), givenBy), "MP-303", ""},
		{"an id a number", consentPage, consent(1, givenBy), "MP-303", ""},
		{"no id", consentPage, set("authorization_details", list{dict{"type": "urn:altinn:consent", "from": givenBy}}), "MP-303", ""},
		{"no from", consentPage, set("authorization_details", list{dict{"type": "urn:altinn:consent", "id": givenConsent}}), "MP-303", ""},
		{"from a bare person", consentPage, consent(givenConsent, "25922947409"), "MP-303", ""},
		{"from ten digits", consentPage, consent(givenConsent, "urn:altinn:person:identifier-no:2592294740"), "MP-303", ""},
		{"from a false organisation", modulus11, consent(givenConsent, organisationURN+"123456789"), "MP-303", ""},
		{"from an organisation as a person", consentPage, consent(givenConsent, "urn:altinn:person:identifier-no:"+otherOrg), "MP-303", ""},
		{"from an object", consentPage, consent(givenConsent, dict{}), "MP-303", ""},
		{"with a to", errorsPage, set("authorization_details", list{dict{"type": "urn:altinn:consent", "id": givenConsent, "from": givenBy, "to": "x"}}), "MP-302", ""},
	}
}

func accessVerdicts() []verdict {
	scope := func(v string) func(*raw) { return set("scope", v) }
	consumer := func(v string) func(*raw) { return set("consumer_org", v) }
	return []verdict{
		{"a scope that the client has", errorsPage, both(issuedBy("narrow"), scope("bank:lan")), "ok", ""},
		{"a scope that the client has not", errorsPage, both(issuedBy("narrow"), scope("bank:saldo")), "MP-200", ""},
		{"one of two that the client has not", errorsPage, both(issuedBy("narrow"), scope("bank:lan bank:saldo")), "MP-200", ""},
		{"a part of a scope that the client has", errorsPage, both(issuedBy("narrow"), scope("bank:la")), "MP-200", ""},
		{"a scope in other letters", errorsPage, both(issuedBy("narrow"), scope("bank:Lan")), "MP-200", ""},
		{"a client for logins", errorsPage, issuedBy("login"), "MP-201", ""},
		{"access granted to others", errorsPage, scope("bank:stengt"), "MP-250", ""},
		{"access of the consumer", errorsPage, both(scope("bank:stengt"), consumer(otherOrg)), "ok", ""},
		{"access withdrawn", errorsPage, scope("bank:tatt"), "MP-250", ""},
		{"access asked for", errorsPage, scope("bank:bedt"), "MP-250", ""},
		{"not delegated", errorsPage, consumer(thirdOrg), "MP-251", ""},
		{"another scope delegated", errorsPage, both(scope("bank:lan"), consumer(thirdOrg)), "ok", ""},
		{"one of two not delegated", errorsPage, both(scope("bank:lan bank:saldo"), consumer(thirdOrg)), "MP-251", ""},
		{"everything at once", grantClaims, both(consumer(otherOrg), set("pid", "25922947409"), set("resource", list{"https://a.example"}), set("authorization_details", list{systemUserOf(otherOrg)})), "ok", ""},
	}
}
