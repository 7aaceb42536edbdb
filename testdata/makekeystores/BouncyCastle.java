import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Key;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.Security;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import org.bouncycastle.jcajce.PKCS12StoreParameter;
import org.bouncycastle.jce.provider.BouncyCastleProvider;

/**
 * Writes a keystore with BouncyCastle: java BouncyCastle.java type password out entry...
 * An entry is alias=key,cert,cert... or alias=cert for a trusted certificate; a type with ":DER" is written as DER.
 */
public class BouncyCastle {
    public static void main(String[] args) throws Exception {
        System.setProperty("org.bouncycastle.bks.enable_v1", "true");
        Security.addProvider(new BouncyCastleProvider());
        String[] type = args[0].split(":");
        char[] password = args[1].toCharArray();
        KeyStore store = KeyStore.getInstance(type[0], "BC");
        store.load(null, null);
        for (int i = 3; i < args.length; i++) {
            String alias = args[i].split("=")[0];
            String[] files = args[i].split("=")[1].split(",");
            if (files.length == 1) {
                store.setCertificateEntry(alias, certificate(files[0]));
                continue;
            }
            Certificate[] chain = new Certificate[files.length - 1];
            for (int j = 1; j < files.length; j++) {
                chain[j - 1] = certificate(files[j]);
            }
            store.setKeyEntry(alias, key(files[0]), password, chain);
        }
        try (FileOutputStream out = new FileOutputStream(args[2])) {
            if (type.length > 1) {
                store.store(new PKCS12StoreParameter(out, password, true));
            } else {
                store.store(out, password);
            }
        }
    }

    static Key key(String name) throws Exception {
        String pem = Files.readString(Path.of(name + ".pem")).replaceAll("-----[A-Z ]+-----|\\s", "");
        return KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)));
    }

    static Certificate certificate(String name) throws Exception {
        try (FileInputStream in = new FileInputStream(name + ".pem")) {
            return CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
    }
}
