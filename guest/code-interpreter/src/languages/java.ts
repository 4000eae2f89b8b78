import type { Language } from '../language.ts'

/** Holds the identity of the context that `trust` has made, to tell it from one of the user. */
const MARK = 'sandlot.trust'

/**
 * Replaces the default context of TLS, which Java makes once from its store, by one that also trusts the authorities. A
 * store, a context or a factory of the user is kept; only private fields tell whether the factory of URL connections belongs
 * to the default context. Clients that exist already keep the old default.
 */
const trust = (file: string): string => `{
  var now = javax.net.ssl.SSLContext.getDefault();
  var isOurs = Integer.toString(System.identityHashCode(now)).equals(System.getProperty("${MARK}"));
  if (System.getProperty("javax.net.ssl.trustStore") == null && (isOurs || now.getProtocol().equals("Default"))) {
    var cacerts = new java.io.File(System.getProperty("java.home"), "lib/security/cacerts");
    var store = java.security.KeyStore.getInstance(cacerts, (char[]) null);
    try (var input = new java.io.FileInputStream(${JSON.stringify(file)})) {
      for (var each : java.security.cert.CertificateFactory.getInstance("X.509").generateCertificates(input))
        store.setCertificateEntry("sandlot-" + each.hashCode(), each);
    }
    var managers = javax.net.ssl.TrustManagerFactory.getInstance(javax.net.ssl.TrustManagerFactory.getDefaultAlgorithm());
    managers.init(store);
    var context = javax.net.ssl.SSLContext.getInstance("TLS");
    context.init(null, managers.getTrustManagers(), null);
    var factory = javax.net.ssl.HttpsURLConnection.getDefaultSSLSocketFactory();
    javax.net.ssl.SSLContext.setDefault(context);
    System.setProperty("${MARK}", Integer.toString(System.identityHashCode(context)));
    try {
      var access = sun.misc.Unsafe.class.getDeclaredField("theUnsafe");
      access.setAccessible(true);
      var memory = (sun.misc.Unsafe) access.get(null);
      var ofContext = javax.net.ssl.SSLContext.class.getDeclaredField("contextSpi");
      var ofFactory = factory.getClass().getDeclaredField("context");
      if (memory.getObject(now, memory.objectFieldOffset(ofContext)) == memory.getObject(factory, memory.objectFieldOffset(ofFactory)))
        javax.net.ssl.HttpsURLConnection.setDefaultSSLSocketFactory(context.getSocketFactory());
    } catch (ReflectiveOperationException unknown) {
    }
  }
}`

export const java: Language = {
  name: 'java',
  kernels: ['java', 'jjava', 'rapaio-jupyter-kernel'],
  install:
    'sudo apt-get update && sudo apt-get install --yes openjdk-17-jdk-headless && sudo pip install jjava==1.0a8',
  trust,
}
