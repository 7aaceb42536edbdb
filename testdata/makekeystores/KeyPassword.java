import java.io.*;
import java.security.*;
import java.util.Arrays;

/** Copies a PKCS#12 store and gives its keys a password of their own: IN STOREPASSWORD KEYPASSWORD OUT */
class KeyPassword {
	public static void main(String[] args) throws Exception {
		KeyStore in = KeyStore.getInstance("PKCS12"), out = KeyStore.getInstance("PKCS12");
		in.load(new FileInputStream(args[0]), args[1].toCharArray());
		out.load(null, null);
		for (String alias : java.util.Collections.list(in.aliases())) {
			out.setKeyEntry(alias, in.getKey(alias, args[1].toCharArray()), args[2].toCharArray(), in.getCertificateChain(alias));
		}
		out.store(new FileOutputStream(args[3]), args[1].toCharArray());
	}
}
